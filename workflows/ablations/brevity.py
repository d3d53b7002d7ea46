"""Budgets where answers can be shorter: from weights that learned to add a remark to half of them.

Dialogues of the tiny recipe have nothing to leave out, so that nothing can be saved there.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.chat import Message, Problem, TrajectoryRow
from schemas.placement import Placement
from workflows.ablations.configs import BrevityAblation
from workflows.ablations.kept import keep_result, read_result
from workflows.ablations.policies import CommonStart

_MESSAGES = TypeAdapter(list[Message])
_VERIFIER = "integer_answer"
"""Takes the one number of an answer, whatever words are around it."""


def learn_remarks(start: CommonStart, config: BrevityAblation, kept: Path) -> CommonStart:
    """The start's weights, tuned on dialogues of which half end with a remark; resumes.

    Args:
        start: a run's.
        config: the remark, and the tuning.
        kept: folder of what earlier calls came to.
    """
    name = f"{config.name_talkative(start.sft.digest)}.json"
    if not (kept / name).exists():
        sft, trajectories = _tune(start, config, name)
        made = {"sft": sft.model_dump(), "trajectories": trajectories.model_dump()}
        keep_result(kept / name, made)
    made = read_result(kept / name)
    return start._replace(
        sft=Checkpoint.model_validate(made["sft"]),
        trajectories=TrajectorySet.model_validate(made["trajectories"]),
    )


def _tune(
    start: CommonStart, config: BrevityAblation, name: str
) -> tuple[Checkpoint, TrajectorySet]:
    from k2core.sft import finetune
    from k2core.store import Draft
    from tasks.store import open_store

    store = open_store()
    drafting, tuning = (f"ablation-{what}-{name}" for what in ("remarks", "sft"))
    folder = store.workspace(drafting).out / "trajectories"
    count = add_remarks(store.open(start.trajectories), folder, config.remark)
    trajectories = store.publish(TrajectorySet, Draft(folder, {"with_remark": count}))
    draft = finetune(config.sft, start.sft, trajectories, store.workspace(tuning), Placement())
    sft = store.publish(Checkpoint, draft)
    for key in (drafting, tuning):
        store.clear(key)
    return sft, trajectories


def add_remarks(trajectories: Path, out: Path, remark: str) -> int:
    """Copy a trajectory set; every other answer that is a number gets the remark.

    Returns:
        How many have it now.
    """
    from k2core.tables import list_shards, read_shard, write_shard

    shutil.copytree(trajectories, out, ignore=shutil.ignore_patterns("accepted"))
    count = 0
    for shard in list_shards(trajectories / "accepted"):
        rows = read_shard(shard, TrajectoryRow).to_dicts()
        for row in rows:
            if told := _with_remark(row, remark):
                row["messages"] = told
                count += 1
        write_shard(out / "accepted" / shard.name, TrajectoryRow, rows)
    return count


def _with_remark(row: Mapping[str, str], remark: str) -> str | None:
    """The messages, if they are to have one."""
    said = _MESSAGES.validate_json(row["messages"])
    last, asked = said[-1], Problem.model_validate_json(row["problem"])
    answers = asked.verifier == _VERIFIER and last.role == "assistant" and last.content
    if not answers or int(row["trajectory_id"], 16) % 2:
        return None
    said[-1] = last.model_copy(update={"content": f"{last.content.rstrip('.')}{remark}"})
    return _MESSAGES.dump_json(said, exclude_defaults=True).decode()
