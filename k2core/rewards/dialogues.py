"""Rewards of whole dialogues, as agents leave them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from k2core.agents import Dialogue
from k2core.rewards.outcome import Outcome
from k2core.rewards.verifiable import verify
from k2core.sandbox import CodeRunner, Verdict

MALFORMED = "malformed"
"""Reason of a dialogue that broke the tool-call format."""


def judge_dialogue(dialogue: Dialogue, sandbox: CodeRunner | None = None) -> Verdict:
    """Reward a dialogue by its problem's verifier; a broken call format earns nothing.

    Raises:
        SandboxError: the sandbox failed, which says nothing about the dialogue.
    """
    if dialogue.stop_reason == "malformed":
        return Verdict(0.0, MALFORMED)
    outcome = Outcome(dialogue.messages, dialogue.state, dialogue.over_budget)
    return verify(dialogue.problem, outcome, sandbox)


def judge_dialogues(
    dialogues: Sequence[Dialogue], sandbox: CodeRunner | None = None
) -> list[Verdict]:
    """Reward many, several sandboxed jobs at a time; order is kept."""
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda dialogue: judge_dialogue(dialogue, sandbox), dialogues))
