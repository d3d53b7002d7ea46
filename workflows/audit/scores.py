"""`k2 score`: where a score came from, to its answers."""

import polars as pl

from infra.index import RunIndex
from tasks.store import open_store
from workflows.audit.answer import AuditAnswer, short
from workflows.errors import NotRecordedError
from workflows.find import locate


def score(target: str, family: str, checkpoint: str) -> AuditAnswer:
    """Every answer that a family's pass rate was counted from, with weights and the maker.

    Raises:
        NotRecordedError: no evaluation led to the target, or it has no such family.
    """
    with RunIndex() as index:
        artifact = locate(index, target)
        near = [artifact, *index.related(artifact.digest, forward=False)]
        found = [a for a in near if a.kind == "evaluation"]
        if not found:
            raise NotRecordedError(f"no evaluation led to {artifact.kind} {artifact.digest}")
        made = index.maker(found[0].digest)
        if made is None:
            raise NotRecordedError(f"nobody recorded who made evaluation {found[0].digest}")
        served = made.record.inputs.get(checkpoint)
        maker = index.maker(served.digest) if served else None
    if served is None:
        known = ", ".join(n for n, a in made.record.inputs.items() if a.kind == "checkpoint")
        raise NotRecordedError(f"no checkpoint {checkpoint!r} was evaluated; there are {known}")
    table = pl.read_parquet(open_store().open_file(found[0], f"answers/{checkpoint}.parquet"))
    answers = table.filter(family=family)
    if not len(answers):
        known = ", ".join(sorted(table["family"].unique()))
        raise NotRecordedError(f"no family {family!r}; there are {known}")
    counted = answers.filter(~pl.col("faulty"))
    rows = [
        {
            "answer": row["answer_id"],
            "passed": row["passed"],
            "reason": row["reason"] or "-",
            "tokens": row["num_tokens"],
            "said": str(row["messages"])[-80:].replace("\n", " "),
        }
        for row in answers.iter_rows(named=True)
    ]
    passed, total = int(counted["passed"].sum()), len(counted)
    by = f"evaluate of {made.run.tags['flyte_run']}"
    whose = f"{maker.record.stage} of {maker.run.tags['flyte_run']}" if maker else "nobody recorded"
    return AuditAnswer(
        f"{family}, {checkpoint}: {passed} of {total} answers passed, graded by {by}; weights "
        f"{short(served.digest)} made by {whose}; evaluation {short(found[0].digest)}",
        rows,
    )
