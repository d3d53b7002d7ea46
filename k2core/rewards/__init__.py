"""Verifiable rewards: a problem's own checker holds an outcome against what was expected."""

from k2core.rewards.code_blocks import extract_code
from k2core.rewards.dialogues import MALFORMED, judge_dialogue, judge_dialogues, try_to_judge
from k2core.rewards.outcome import OVER_BUDGET, Outcome
from k2core.rewards.verifiable import CONFINED, VERIFIERS, verify
from k2core.sandbox import Verdict

__all__ = [
    "CONFINED",
    "MALFORMED",
    "OVER_BUDGET",
    "VERIFIERS",
    "Outcome",
    "Verdict",
    "extract_code",
    "judge_dialogue",
    "judge_dialogues",
    "try_to_judge",
    "verify",
]
