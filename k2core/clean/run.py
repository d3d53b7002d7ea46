"""The passes of the cleaning: each document alone, what others say of it, then what is written.

The first and the last are spread; the second, in the corpus' order, reads no text. What each has
made is kept in the scratch folder, so that a killed run goes on.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from k2core.clean.contamination import HeldOutRuns, Question
from k2core.clean.decisions import plan_shards
from k2core.clean.evidence import Met, merge_met, report_met
from k2core.clean.funnel import Funnel
from k2core.clean.left import tell_left
from k2core.clean.pieces import judge_shards
from k2core.clean.training import fit_scorer
from k2core.clean.written import name_tables, read_summary, write_clean
from k2core.passes import Passes
from k2core.pieces import Made, gather_crew, take_made
from k2core.store import Draft, StoredFile, Workspace
from k2core.tables import TableError
from schemas.artifacts import RawCorpus
from schemas.clean import CleanConfig
from schemas.errors import InputsError


def clean_documents(
    config: CleanConfig,
    questions: Sequence[Question],
    raw: RawCorpus,
    workspace: Workspace,
    num_workers: int = 0,
) -> Draft:
    """Write what a `CleanCorpus` holds: the same bytes for any sharding and number of workers.

    Args:
        config: the stage's.
        questions: what the models are evaluated on.
        raw: documents in any number of shards.
        workspace: whose scratch keeps what was said of each shard.
        num_workers: shards at a time that Ray Data judges; 0 judges them in this process.

    Raises:
        TableError: a shard is corrupt; the message names it.
        InputsError: no document is left.
    """
    held_out, scratch = HeldOutRuns(questions, config.decontamination), workspace.scratch
    shards = _list_raw(raw, workspace)
    funnel, met = Funnel(config.num_reject_samples), dict[str, Met]()
    with gather_crew(workspace, num_workers, _list_passes(config, workspace)) as crew:
        scorer = fit_scorer(config, held_out, shards, crew, workspace)
        judged = judge_shards(config, held_out, scorer, shards, crew, scratch / "judged")
        planned = plan_shards(config, judged, crew, scratch)
        work = functools.partial(write_clean, config, held_out)

        def take(made: Made) -> str:
            summary = read_summary(made)
            funnel.merge(summary.funnel)
            merge_met(met, summary.met)
            return tell_left(funnel.count_fates())

        written = list(crew.make(work, planned, scratch / "written", note=take))
    report_met(met, workspace.report)
    sources = workspace.store.open_file(raw, "sources.json").read_text()
    counts = _finish(funnel, sources, workspace)
    return take_made(workspace, counts, [(made, name_tables(made)) for made in written])


def _list_passes(config: CleanConfig, workspace: Workspace) -> Passes:
    """What part of the stage's time each takes."""
    weights = {
        **({"classes": 0.1, "sample": 1.0} if config.classifier else {}),
        "judged": 1.0,
        **({"vectors": 1.0} if config.deduplication.semantic else {}),
        "written": 0.3,
        "closing": 0.2,
    }
    return Passes(workspace.report, weights)


def _list_raw(raw: RawCorpus, workspace: Workspace) -> list[StoredFile]:
    files = workspace.store.list_files(raw)
    shards = [each for each in files if Path(each.name).match("documents/*.parquet")]
    if not shards:
        raise TableError(f"{raw.digest} holds no documents/*.parquet: rerun the stage ingest")
    return shards


def _finish(funnel: Funnel, sources: str, workspace: Workspace) -> dict[str, float]:
    if not funnel.kept:
        reasons = ", ".join(f"{reason}: {n}" for (_, _, reason), n in funnel.rejects.most_common(3))
        raise InputsError(f"no document is left ({reasons}): relax the rules of CleanConfig")
    summary = json.dumps(funnel.summary(), indent=1) + "\n"
    (workspace.out / "funnel.json").write_text(summary)
    (workspace.out / "sources.json").write_text(sources)
    workspace.report.plot("Documents left after each rule", funnel.draw())
    workspace.report.table("Rejects, a sample of each reason", funnel.reject_samples())
    return {
        "documents": float(funnel.kept.total()),
        "rejects": float(funnel.rejects.total()),
        "words": float(funnel.words),
    }
