"""Families of verifiable problems, and their training and held-out splits."""

from k2core.problems.bank import describe_families, own_families
from k2core.problems.family import Act, Call, Calls, Content, Family, Posed, Say, Script
from k2core.problems.files import ProblemSourceError
from k2core.problems.fitting import fit_context
from k2core.problems.registry import FAMILIES
from k2core.problems.splits import (
    TooFewContentsError,
    held_out_problems,
    pose_training,
    split_of,
    training_problem,
    training_problems,
    validation_problems,
)
from k2core.problems.variants import plain_name, variant_of, vary

__all__ = [
    "FAMILIES",
    "Act",
    "Call",
    "Calls",
    "Content",
    "Family",
    "Posed",
    "ProblemSourceError",
    "Say",
    "Script",
    "TooFewContentsError",
    "describe_families",
    "fit_context",
    "held_out_problems",
    "own_families",
    "plain_name",
    "pose_training",
    "split_of",
    "training_problem",
    "training_problems",
    "validation_problems",
    "variant_of",
    "vary",
]
