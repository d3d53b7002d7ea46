"""Documents rewritten group by group, each kept when it is finished, until the tokens are spent."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import cache
from typing import NamedTuple

from k2core.rephrase.journal import Kept
from k2core.rephrase.rewrite import Rewriting, cut_text, room_for
from k2core.rephrase.start import Rephraser
from k2core.rephrase.styles import Job
from k2core.reporting import Reporter
from k2core.store import Workspace
from schemas.rephrase import RephraseConfig


class Rewritten(NamedTuple):
    """All that was written, and by whom."""

    jobs: list[Job]
    """The documents begun; fewer than asked for if the tokens ran out."""
    rewritings: list[Rewriting]
    writer: str
    """Digest of the weights, or where the endpoint is."""


def rewrite_all(
    config: RephraseConfig,
    jobs: Sequence[Job],
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
    with ExitStack() as stack:
        journal = workspace.scratch / "rewritings.jsonl"
        kept = stack.enter_context(closing(Kept(journal, workspace.states)))

        @cache
        def started() -> Rephraser:
            note = f"starting {config.rewriter}"
            workspace.report.progress(len(kept), len(jobs), note)
            rephraser = stack.enter_context(closing(start()))
            kept.sign(rephraser.name)
            workspace.report.progress(len(kept), len(jobs), "writing")
            return rephraser

        while first < len(jobs):
            group = jobs[first : first + size]
            if first not in kept.begun:
                left = config.max_tokens_spent - kept.num_tokens
                kept.begin(first, count_fitting(config, group, started().count, left))
            begun = group[: kept.begun[first]]
            if missing := [job for job in begun if job not in kept]:
                _rewrite_missing(config, missing, started(), kept, workspace.report, len(jobs))
            first += len(begun)
            if len(begun) < min(len(group), config.documents_together):
                break
        done = jobs[:first]
        return Rewritten(list(done), [kept[job] for job in done], kept.writer)


def _rewrite_missing(
    config: RephraseConfig,
    jobs: Sequence[Job],
    rephraser: Rephraser,
    kept: Kept,
    report: Reporter,
    num_jobs: int,
) -> None:
    """Rewrite and keep documents; tells of each, and of the rate at the end of each group.

    Documents of a group are written side by side and end nearly together: when the first ends says
    nothing of the rest, so only a whole group is progress.
    """
    began, before, last = time.monotonic(), kept.num_tokens, len(kept) + len(jobs)
    done = len(kept)
    for index, rewriting in rephraser.rewrite(jobs):
        kept.finish(jobs[index], rewriting)
        rate = (kept.num_tokens - before) / (time.monotonic() - began)
        whole = len(kept) == last or len(kept) % config.documents_together == 0
        done = len(kept) if whole or config.by_dataset else done
        report.progress(done, num_jobs, f"{len(kept)} written, {rate:.0f} tokens/s")
        if whole:
            kept.share()
            step = (len(kept) - 1) // config.documents_together
            report.metrics(step, {"tokens_per_second": rate})


def count_fitting(
    config: RephraseConfig, jobs: Sequence[Job], count: Callable[[str], int], tokens_left: int
) -> int:
    """How many of the documents, from the first, surely take no more than the tokens left."""
    for number, job in enumerate(jobs):
        chunks = cut_text(job.document.text, config.chunk_tokens, count)
        tokens_left -= sum(room_for(config, count(chunk.text)) for chunk in chunks)
        if tokens_left < 0:
            return number
    return len(jobs)
