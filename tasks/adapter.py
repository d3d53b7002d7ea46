"""What every task does around its work: lineage, workspace, progress, report, publishing."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import flyte
import flyte.report

from infra.faults import describe_fault
from infra.home import home
from infra.lineage import StageRun
from infra.pages import render_document, render_fragment
from infra.pages.stage import render_stage
from infra.progress import ProgressLine
from infra.reports import dialogue_html, figure_png, plot_html, table_html
from k2core.reporting import Turn
from k2core.store import Draft, Lease, Store, Workspace, publish_together
from schemas.base import Artifact, Config
from schemas.lineage import LineageRecord
from schemas.placement import Placement
from tasks.failures import told
from tasks.store import open_store
from tasks.work import record_of, work_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from k2core.engines.torchrun import Ranks

A = TypeVar("A", bound=Artifact)
P = ParamSpec("P")
T = TypeVar("T")


class RunningStage:
    """A stage in progress; a `Reporter` bound to MLflow, the terminal and the Flyte report."""

    def __init__(
        self,
        run: StageRun,
        inputs: Mapping[str, object],
        workspace: Callable[["RunningStage"], Workspace],
        ranks: "Ranks | None" = None,
    ) -> None:
        self._run, self._inputs, self._ranks = run, inputs, ranks
        self._line = ProgressLine(run.record.stage)
        self._html: list[str] = []
        self._outputs: dict[str, Artifact] = {}
        self.workspace = workspace(self)

    async def work(self, function: Callable[..., T]) -> T:
        """Do the work on the stage's inputs, in a thread, so that the event loop stays free."""
        return await asyncio.to_thread(function, **self._inputs, workspace=self.workspace)

    def publish(self, kind: type[A], draft: Draft, name: str = "") -> A:
        """Make the draft an artifact of the store and an output edge of the run."""
        artifact = _publish(kind, draft, self._ranks)
        self._outputs[name or artifact.kind] = artifact
        return artifact

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Redraw the stage's line."""
        self._line.update(done, total, note)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record points of curves in MLflow."""
        self._run.metrics(step, values)

    def plot(self, title: str, figure: "Figure") -> None:
        """Add a figure to the Flyte report and to the MLflow run."""
        png = figure_png(figure)
        self._html.append(plot_html(title, png))
        self._run.file(_file_name(title) + ".png", png)

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Add a table to the Flyte report and to the MLflow run."""
        self._add_html(title, table_html(title, rows))

    def dialogue(self, title: str, turns: Sequence[Turn]) -> None:
        """Add a dialogue to the Flyte report and to the MLflow run."""
        self._add_html(title, dialogue_html(title, turns))

    def _add_html(self, title: str, text: str) -> None:
        self._html.append(text)
        self._run.file(_file_name(title) + ".html", render_document(title, text).encode())

    async def finish(self) -> dict[str, Artifact]:
        """Close the run, flush the report and leave the last line; returns what was published."""
        counts = [_in_words(artifact) for artifact in self._outputs.values()]
        self._run.json("progress.json", {"reports": self._line.trace()})
        self._run.finish(self._outputs, report=self._page().encode())
        await self.flush()
        self._line.finish("; ".join(counts))
        return self._outputs

    async def fail(self, error: BaseException) -> None:
        """Close the run with its error; what was reported so far is kept."""
        if describe_fault(error):  # `out` is made anew in any case, and a full disk needs room
            shutil.rmtree(self.workspace.out, ignore_errors=True)
        with suppress(Exception):
            self._run.fail(error)
        with suppress(Exception):
            await self.flush()
        self._line.finish(f"{type(error).__name__}: {error}".partition("\n")[0], "FAILED after")

    async def flush(self) -> None:
        """Write the Flyte report, and a copy of it that outlives Flyte's own folder."""
        copy = home() / "reports" / (self._run.flyte_run or "alone") / f"{self._run.stage}.html"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(self._page())
        if flyte.ctx():
            await flyte.report.replace.aio(render_fragment(self._body()), do_flush=True)

    def _page(self) -> str:
        return render_document(f"{self._run.stage} of {self._run.flyte_run}", self._body())

    def _body(self) -> str:
        record = self._run.record.model_copy(update={"outputs": dict(self._outputs)})
        return render_stage(record, self._run.flyte_run or "alone", self._html)


class _Gone:
    """Stands for drafts that were published elsewhere."""

    def __getattr__(self, name: str) -> "_Gone":
        return self


class FinishedStage:
    """A stage whose work another process finished while this one waited for it."""

    def __init__(self, outputs: Mapping[str, Artifact]) -> None:
        self._outputs = outputs

    async def work(self, function: Callable[..., T]) -> T:
        """Nothing is left to do."""
        return cast("T", _Gone())

    def publish(self, kind: type[A], draft: Draft, name: str = "") -> A:
        """What was published under this name."""
        found = self._outputs[name or kind.model_fields["kind"].default]
        return kind.model_validate(found.model_dump())


class FollowingStage:
    """A stage on a rank other than 0 of a cluster's: it works, and rank 0 does all else."""

    def __init__(self, inputs: Mapping[str, object], workspace: Workspace, ranks: "Ranks") -> None:
        self._inputs, self._ranks, self.workspace = inputs, ranks, workspace

    async def work(self, function: Callable[..., T]) -> T:
        """This rank's part of the work on the stage's inputs."""
        return await asyncio.to_thread(function, **self._inputs, workspace=self.workspace)

    def publish(self, kind: type[A], draft: Draft, name: str = "") -> A:
        """Bring this rank's files of what rank 0 publishes."""
        return _publish(kind, draft, self._ranks)


@asynccontextmanager
async def stage_run(
    stage: str, version: str, **inputs: object
) -> AsyncIterator[RunningStage | FinishedStage | FollowingStage]:
    """Run a stage with lineage; on an error its scratch stays, so that the next run resumes.

    Of several processes that are to do the same work, on whatever machines, one does it. The others
    wait for its result, or take over where it died.

    Where a cluster started the task on several ranks, rank 0 alone has lineage, reports and holds
    the lease; the others work, each with an `out` of its own, and are silent.
    """
    with told(stage):
        record = record_of(stage, version, inputs)
        part = _lead(record, inputs) if "RANK" not in os.environ else _on_ranks(record, inputs)
        async with part as running:
            yield running


@asynccontextmanager
async def _on_ranks(
    record: LineageRecord, inputs: Mapping[str, object]
) -> AsyncIterator[RunningStage | FinishedStage | FollowingStage]:
    from k2core.engines.torchrun import joined_ranks

    placement = inputs["placement"]
    if not isinstance(placement, Placement):
        raise TypeError(f"{record.stage} runs on ranks and needs a placement, not {placement!r}")
    with joined_ranks(placement) as ranks:
        patient = ranks.patient()
        if ranks.rank == 0:
            async with _lead(record, inputs, patient) as running:
                yield running
        elif outputs := patient.share(dict[str, Artifact]()):
            yield FinishedStage(outputs)
        else:
            workspace = open_store().workspace(work_key(record), part=ranks.rank)
            yield FollowingStage(inputs, workspace, patient)
            shutil.rmtree(workspace.out, ignore_errors=True)


def _publish(kind: type[A], draft: Draft, ranks: "Ranks | None") -> A:
    if ranks is None:
        return open_store().publish(kind, draft)
    return publish_together(open_store(), kind, draft, ranks)


@asynccontextmanager
async def _lead(
    record: LineageRecord, inputs: Mapping[str, object], ranks: "Ranks | None" = None
) -> AsyncIterator[RunningStage | FinishedStage]:
    key = work_key(record)
    context = flyte.ctx()
    names = (context.action.run_name or "", context.action.name) if context else ("", "")
    store = open_store()
    async with _leased(store, key, record.stage) as lease:
        outputs = _finished_outputs(store, key) if lease.waited else {}
        if ranks is not None:
            ranks.share(outputs)
        if outputs:
            yield FinishedStage(outputs)
            return
        run = StageRun(record, key, *names)
        family = _family(record, inputs)
        running = RunningStage(
            run, inputs, lambda reporter: store.workspace(key, reporter, family=family), ranks
        )
        try:
            yield running
            lease.check()
            outputs = await running.finish()
        except BaseException as error:
            await running.fail(error)
            raise
        done = record.model_copy(update={"outputs": outputs})
        store.note_result(key, done.model_dump_json().encode())
        store.clear(key)


def _family(record: LineageRecord, inputs: Mapping[str, object]) -> str:
    """Names all works that go on from one another; empty for work of a fixed extent."""
    config = inputs.get("config")
    extent = config.extent if isinstance(config, Config) else ()
    return f"{work_key(record, extent)}-kept" if extent else ""


@asynccontextmanager
async def _leased(store: Store, key: str, stage: str) -> AsyncIterator[Lease]:
    lease, told = store.lease(key), ""
    while not lease.try_take():
        if lease.holder != told:
            told = lease.holder
            print(f"  {stage} waits for {told}, at the same work", file=sys.stderr, flush=True)
        await asyncio.sleep(lease.pause)
    try:
        yield lease
    finally:
        lease.release()


def _finished_outputs(store: Store, key: str) -> dict[str, Artifact]:
    """What came of the work, if it is whole."""
    text = store.result(key)
    outputs = LineageRecord.model_validate_json(text).outputs if text else {}
    return outputs if all(map(store.has, outputs.values())) else {}


def _file_name(title: str) -> str:
    return title.lower().replace(" ", "-").replace("/", "-").replace(":", "")


def _in_words(artifact: Artifact) -> str:
    return f"{artifact.kind} {artifact.digest[7:15]} ({artifact.describe_counts()})"
