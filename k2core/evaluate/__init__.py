"""Evaluation: held-out problems and text, three checkpoints side by side, every answer kept."""

from k2core.evaluate.stage import evaluate_checkpoints

__all__ = ["evaluate_checkpoints"]
