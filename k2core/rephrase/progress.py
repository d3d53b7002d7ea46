"""Documents rewritten group by group, each kept when it is finished, until the tokens are spent."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from k2core.rephrase.journal import RewriteJournal
from k2core.rephrase.outcome import JudgedRewrite, judge_writers
from k2core.rephrase.rewrite import cut_text, room_for
from k2core.rephrase.start import Rephraser
from k2core.rephrase.styles import RewriteJob
from k2core.reporting import Reporter
from k2core.store import Workspace
from schemas.rephrase import RephraseConfig


class Rewritten(NamedTuple):
    """All that was written and what the gate says of it, and by whom."""

    judged: list[JudgedRewrite]
    """What each writer wrote, document by document."""
    num_begun: int
    """Documents begun; fewer than asked for if the tokens ran out."""
    num_tokens: int
    """Tokens written."""
    writer: str
    """Digest of the weights, or where the endpoint is."""


def rewrite_all(
    config: RephraseConfig,
    jobs: Sequence[RewriteJob],
    workspace: Workspace,
    start: Callable[[], Rephraser],
) -> Rewritten:
    """Rewrite group by group until all are done or the tokens are spent.

    A document is begun only if its longest possible rewrite fits into what is left of the tokens:
    the cap is never passed, and every document that was begun is whole.

    A document is kept when its last chunk is there, also in the midst of its group, and is not
    asked for again. What a kill interrupts is begun anew beside those of its group that are left.
    The text of these may then differ from an uninterrupted run's: a batch's sums are rounded by
    its size, and where two tokens are nearly as likely the other one may win.

    Args:
        config: the stage's.
        jobs: documents in their styles, in order.
        workspace: whose scratch keeps what is finished, and its states group by group.
        start: starts the rephraser, which is done only if a document is missing.

    Raises:
        ValueError: another model would go on than was killed.
    """
    first, size = 0, len(jobs) if config.by_dataset else config.documents_together
    judged: list[JudgedRewrite] = []
    with ExitStack() as stack:
        journal = workspace.scratch / "rewritings.jsonl"
        kept = stack.enter_context(closing(RewriteJournal(journal, workspace.states)))
        pace = Pace(workspace.report, jobs, len(kept))

        @cache
        def started() -> Rephraser:
            pace.say(f"starting {config.rewriter}")
            rephraser = stack.enter_context(closing(start()))
            kept.sign(rephraser.name)
            pace.start()
            return rephraser

        while first < len(jobs):
            group = jobs[first : first + size]
            if first not in kept.begun:
                left = config.max_tokens_spent - kept.num_tokens
                kept.begin(first, count_fitting(config, group, started().count, left))
            begun = group[: kept.begun[first]]
            judged += _judge_group(config, begun, started, kept, pace)
            first += len(begun)
            if len(begun) < min(len(group), config.documents_together):
                break
        num_tokens = sum(kept[job].num_tokens for job in jobs[:first])
        return Rewritten(judged, first, num_tokens, kept.writer)


@dataclass
class _Part:
    """A part of the work, the seconds that it took, and what was done before they were counted."""

    total: float
    done: float = 0.0
    before: float = 0.0
    seconds: float = 0.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None before an eighth is done."""
        left, done = self.total - self.done, self.done - self.before
        if left <= 0:
            return 0.0
        return self.seconds * left / done if done >= (left + done) / 8 else None


class Pace:
    """How far the stage is, in seconds: what was spent, and what is left at the pace so far.

    Writing and judging have a pace each, which hangs on models, gate and machine, and a document
    is judged when it is written: at one pace for both the first of a group would promise too much.
    """

    def __init__(self, report: Reporter, jobs: Sequence[RewriteJob], num_written: int) -> None:
        self.report = report
        self._writing = _Part(len(jobs), num_written, num_written)
        self._judging = _Part(sum(len(job.document.text) for job in jobs))
        self._since, self._note = time.monotonic(), "judging"

    def say(self, note: str) -> None:
        """Tell where the stage is."""
        self._note = note
        parts = (self._writing, self._judging)
        left = [part.left for part in parts if part.left is not None]
        spent = sum(part.seconds for part in parts)
        total = spent + sum(left) if len(left) == len(parts) else 0
        self.report.progress(spent, total, note)

    def start(self) -> None:
        """From now on it is written."""
        self._since = time.monotonic()
        self.say("writing")

    def write(self, num_written: float) -> None:
        """So many documents are written."""
        self._spend(self._writing, num_written - self._writing.done)

    def judge(self, job: RewriteJob) -> None:
        """One more is judged."""
        self._spend(self._judging, len(job.document.text))

    def _spend(self, part: _Part, done: float) -> None:
        now = time.monotonic()
        part.seconds += now - self._since
        part.done += done
        self._since = now
        self.say(self._note)


def _judge_group(
    config: RephraseConfig,
    jobs: Sequence[RewriteJob],
    started: Callable[[], Rephraser],
    kept: RewriteJournal,
    pace: Pace,
) -> list[JudgedRewrite]:
    """Rewrite what is not kept yet, and judge each document when it is there."""
    judged: dict[int, list[JudgedRewrite]] = {}

    def judge(place: int) -> None:
        judged[place] = judge_writers(config, jobs[place], kept[jobs[place]])
        pace.judge(jobs[place])

    missing = [place for place, job in enumerate(jobs) if job not in kept]
    for place in sorted({*range(len(jobs))} - {*missing}):
        judge(place)
    if missing:
        for index in _rewrite(config, [jobs[p] for p in missing], started(), kept, pace):
            judge(missing[index])
    return [entry for place in range(len(jobs)) for entry in judged[place]]


def _rewrite(
    config: RephraseConfig,
    jobs: Sequence[RewriteJob],
    rephraser: Rephraser,
    kept: RewriteJournal,
    pace: Pace,
) -> Iterator[int]:
    """Rewrite and keep documents; tells the rate at the end of each group.

    Yields:
        The place of each document that has been kept.
    """
    before, written = len(kept), kept.num_tokens
    began = time.monotonic()
    for index, rewriting in rephraser.rewrite(jobs, lambda more: pace.write(before + more)):
        kept.finish(jobs[index], rewriting)
        rate = (kept.num_tokens - written) / (time.monotonic() - began)
        pace.say(f"{len(kept)} written, {rate:.0f} tokens/s")
        if len(kept) == before + len(jobs) or len(kept) % config.documents_together == 0:
            kept.share()
            step = (len(kept) - 1) // config.documents_together
            pace.report.metrics(step, {"tokens_per_second": rate})
        yield index


def count_fitting(
    config: RephraseConfig,
    jobs: Sequence[RewriteJob],
    count: Callable[[str], int],
    tokens_left: int,
) -> int:
    """How many of the documents, from the first, surely take no more than the tokens left."""
    for number, job in enumerate(jobs):
        chunks = cut_text(job.document.text, config.chunk_tokens, count)
        room = sum(room_for(config, count(chunk.text)) for chunk in chunks)
        tokens_left -= room * config.drafts
        if tokens_left < 0:
            return number
    return len(jobs)
