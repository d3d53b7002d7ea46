"""The loop that pre-training and finetuning share: steps, curves, states to resume from."""

from k2core.training.clips import write_clips
from k2core.training.guard import BatchDocument
from k2core.training.history import StepLog
from k2core.training.loop import Course, train
from k2core.training.states import newest_state, steps_of

__all__ = ["BatchDocument", "Course", "StepLog", "newest_state", "steps_of", "train", "write_clips"]
