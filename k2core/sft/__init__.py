"""Supervised finetuning: accepted trajectories to a tuned checkpoint."""

from k2core.sft.stage import finetune

__all__ = ["finetune"]
