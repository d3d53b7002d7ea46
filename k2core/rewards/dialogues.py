"""Rewards of whole dialogues, as agents leave them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from k2core.agents import Dialogue
from k2core.rewards.outcome import Outcome
from k2core.rewards.verifiable import verify
from k2core.sandbox import CodeRunner, SandboxUnavailableError, Verdict
from schemas.outside import make_encodable

MALFORMED = "malformed"
"""Reason of a dialogue that broke the tool-call format."""
_TRIES = 2


def judge_dialogue(dialogue: Dialogue, sandbox: CodeRunner | None = None) -> Verdict:
    """Reward a dialogue by its problem's verifier; a broken call format earns nothing.

    A faulty dialogue has a faulty verdict, which is no reward.

    Raises:
        SandboxError: the sandbox failed, which says nothing about the dialogue.
    """
    if dialogue.is_faulty:
        return Verdict.faulty(dialogue.fault)
    if dialogue.stop_reason == "malformed":
        return Verdict(0.0, MALFORMED)
    outcome = Outcome(dialogue.messages, dialogue.state, dialogue.over_budget)
    return verify(dialogue.problem, outcome, sandbox)


def judge_dialogues(
    dialogues: Sequence[Dialogue], sandbox: CodeRunner | None = None
) -> list[Verdict]:
    """Reward many, several sandboxed jobs at a time; order is kept.

    Equal ones, of which a policy that has learned something writes many, are judged once. Where a
    judge fails twice, its verdict is faulty and says why: it is counted, and no reward.

    Raises:
        SandboxUnavailableError: no isolation works here, so that no code can be judged.
    """
    names = [repr((d.problem, d.messages, d.state, d.stop_reason, d.fault)) for d in dialogues]
    different = dict(zip(names, dialogues, strict=True))
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        verdicts = pool.map(lambda dialogue: try_to_judge(dialogue, sandbox), different.values())
        found = dict(zip(different, verdicts, strict=True))
    return [found[name] for name in names]


def try_to_judge(dialogue: Dialogue, sandbox: CodeRunner | None = None) -> Verdict:
    """`judge_dialogue`, once more where it fails; then a faulty verdict."""
    fault = ""
    for _ in range(_TRIES):
        try:
            return judge_dialogue(dialogue, sandbox)
        except SandboxUnavailableError:
            raise
        except Exception as error:
            fault = " ".join(f"{type(error).__name__}: {error}".split())
    return Verdict.faulty(make_encodable(fault))
