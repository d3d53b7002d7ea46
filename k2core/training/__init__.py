"""The loop that pre-training and finetuning share: steps, curves, states to resume from."""

from k2core.training.clips import write_clips
from k2core.training.guard import Document
from k2core.training.history import History
from k2core.training.loop import Plan, Steps, count_saved_steps, train

__all__ = ["Document", "History", "Plan", "Steps", "count_saved_steps", "train", "write_clips"]
