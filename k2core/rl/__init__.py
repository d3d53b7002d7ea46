"""Reinforcement learning on verifiable rewards with K2's objective (arXiv:2507.20534, 3.2)."""

from k2core.rl.stage import train_policy

__all__ = ["train_policy"]
