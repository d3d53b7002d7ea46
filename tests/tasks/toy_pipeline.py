"""A two-stage pipeline through the real adapter, chain, cache and lineage; run as a script.

It reads runs from its standard input, a line each: `NAME LENGTH SECONDS_A_STEP`.
"""

import asyncio
import logging
import sys
import time

import flyte
import typer

from infra.cache import at
from infra.lineage import pipeline_run
from k2core.store import Draft, Workspace
from schemas.artifacts import CleanCorpus, RawCorpus
from schemas.base import Config
from schemas.lineage import LineageRecord
from tasks.adapter import stage_run
from workflows.chain import Chain, flyte_run_name
from workflows.exits import PlainErrors

ENV = flyte.TaskEnvironment("toy")


class ToyConfig(Config):
    """How much to write, and how slowly."""

    length: int = 3
    """Steps, one character each."""
    seconds_a_step: float = 0.0
    """Time between two steps, so that a test can kill the work in between."""


def write_text(config: ToyConfig, workspace: Workspace) -> Draft:
    """Write a character a step, resuming from the last state."""
    if config.length == 0:
        raise ZeroDivisionError("no share of nothing")
    states = workspace.states
    text = states.read("text").decode() if "text" in states.names() else ""
    for step in range(len(text), config.length):
        text += str(step % 10)
        states.put("text", text.encode())
        workspace.report.progress(step + 1, config.length, f"step {step}")
        workspace.report.metrics(step, {"loss": 1 / (step + 1)})
        print("step", step, flush=True)
        time.sleep(config.seconds_a_step)
    workspace.report.table("rows", [{"step": 1, "text": "<b>"}])
    (workspace.out / "text").write_text(text)
    return Draft(workspace.out, {"characters": len(text)})


def double_text(raw: RawCorpus, workspace: Workspace) -> Draft:
    """Write the text twice."""
    print("double", flush=True)
    text = (workspace.open(raw) / "text").read_text() * 2
    (workspace.out / "text").write_text(text)
    return Draft(workspace.out, {"characters": len(text)})


@ENV.task(cache=at("1"), report=True)
async def ingest(config: ToyConfig) -> RawCorpus:
    """Write."""
    async with stage_run("ingest", "1", config=config) as run:
        return run.publish(RawCorpus, await run.work(write_text))


@ENV.task(cache=at("1"), report=True)
async def clean(raw: RawCorpus) -> CleanCorpus:
    """Double."""
    async with stage_run("clean", "1", raw=raw) as run:
        return run.publish(CleanCorpus, await run.work(double_text))


@ENV.task
async def toy(config: ToyConfig, recorded: list[LineageRecord] | None = None) -> CleanCorpus:
    """Two stages."""
    with pipeline_run(flyte_run_name(), config.model_dump(mode="json")):
        print("begun", flush=True)
        await asyncio.sleep(config.seconds_a_step)
        chain = Chain(recorded or [])
        raw = await chain(ingest, config=config)
        return await chain(clean, raw=raw)


def main() -> None:
    """Run what is asked for."""
    flyte.init(local_persistence=True, log_level=logging.CRITICAL)
    for asked in sys.stdin:
        name, length, pause = asked.split()
        config = ToyConfig(length=int(length), seconds_a_step=float(pause))
        run = flyte.with_runcontext(mode="local", name=name).run(toy, config)
        print("RESULT", run.outputs()[0].model_dump_json(), flush=True)


if __name__ == "__main__":
    app = typer.Typer(cls=PlainErrors)
    app.command()(main)
    app.callback()(lambda: None)
    app(["main"])
