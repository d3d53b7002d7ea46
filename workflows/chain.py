"""Calls tasks one after another and keeps the record of each."""

import os
import sys
import typing
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import flyte
from pydantic import BaseModel

from infra.cache import refreshed
from infra.lineage import record_answer
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.recipe import Recipe
from tasks.store import open_store
from tasks.work import outputs_of, record_of, work_key
from workflows.stages import (
    TASKS,
    Stage,
    T,
    artifact_inputs,
    recipe_inputs,
    result_type,
    version_of,
)

Tried = TypeVar("Tried", bound=flyte.TaskTemplate[..., Any, Any])


class Chain:
    """`await chain(stage, ...)` is `await stage(...)`, recorded.

    Work that equals a given record (same stage, version, configs and inputs) is answered from
    the record. A cached answer whose bytes are lost or damaged is told, and made again.
    """

    def __init__(self, recorded: Sequence[LineageRecord] = ()) -> None:
        self.records: list[LineageRecord] = []
        self._given: dict[str, Artifact] = {}
        self._recorded = recorded
        self._flyte_run = flyte_run_name()

    async def __call__(self, stage: Stage[T], **inputs: object) -> T:
        """Run one stage, or answer from a record or from the cache."""
        stage = tried(stage)
        name, version = stage.short_name, version_of(stage)
        record = record_of(name, version, inputs)
        self._given |= {n: value for n, value in inputs.items() if isinstance(value, Artifact)}
        result = await self._answer(stage, record, inputs)
        record = record.model_copy(update={"outputs": outputs_of(result)})
        record_answer(record, self._flyte_run)
        self.records.append(record)
        return result

    async def _answer(
        self, stage: Stage[T], record: LineageRecord, inputs: Mapping[str, object]
    ) -> T:
        known = self._recall(record, stage)
        if known is not None:
            return known
        result = await stage(**inputs)
        if fault := _find_fault(outputs_of(result)):
            name = stage.short_name
            print(f"  {name} is run again: {fault}", file=sys.stderr, flush=True)
            again = stage.override(cache=refreshed(name, version_of(stage)))
            result = typing.cast("T", await again(**inputs))
        return result

    async def run_others(self, recipe: Recipe) -> None:
        """Run the recipe's stages that were not called: each asks for artifacts by others' names.

        Raises:
            TypeError: it asks for what no stage is given by that name.
        """
        done = {*recipe.unused, *(record.stage for record in self.records)}
        for stage in (task for name, task in TASKS.items() if name not in done):
            await self(stage, **recipe_inputs(stage, recipe), **artifact_inputs(stage, self._given))

    def _recall(self, record: LineageRecord, stage: Stage[T]) -> T | None:
        for known in self._recorded:
            if work_key(known) == work_key(record) and not _find_fault(known.outputs):
                return typing.cast("T", restore(known, result_type(stage)))
        return None


def _find_fault(outputs: Mapping[str, Artifact]) -> str:
    """What is wrong with the first artifact that is not whole, as far as a cheap look tells.

    With `K2_VERIFY` set every file is hashed.
    """
    find = partial(open_store().find_fault, verify="K2_VERIFY" in os.environ)
    return next(filter(None, map(find, outputs.values())), "")


def flyte_run_name() -> str:
    """The Flyte run that this task belongs to; empty outside of one."""
    context = flyte.ctx()
    return (context.action.run_name or "") if context else ""


def tried(task: Tried) -> Tried:
    """The task as it is tried here: again on a cluster, on this machine only once."""
    context = flyte.ctx()
    if context is not None and context.mode == "remote":
        return task
    return typing.cast("Tried", task.override(retries=flyte.RetryStrategy(0)))


def restore(record: LineageRecord, kind: type[BaseModel]) -> BaseModel:
    """A stage's result from its record."""
    outputs = {name: artifact.model_dump() for name, artifact in record.outputs.items()}
    if issubclass(kind, Artifact):
        return kind.model_validate(next(iter(outputs.values())))
    return kind.model_validate(outputs)
