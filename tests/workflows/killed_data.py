"""Runs of `k2 data` that end by SIGKILL: `python -m ... FOLDER PIECES...`, in `K2_HOME`.

Each is a process of its own that goes on where the last was killed: when the last piece named, such
as `judge_shard:2`, is done and not yet taken up. One without a death comes last and tells the
report. Each piece that was worked on is a line of `K2_HOME/pieces`. Flyte is imported in each: it
starts a thread, which a fork would leave behind.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import k2core.clean.pieces
import k2core.clean.run
import k2core.ingest.batches
from workflows.cli import app

SETTINGS = ("ingest.shard_bytes=4000", "clean.shard_documents=7", "ingest.shard_documents=9")
PASSES = {
    "read_batch": k2core.ingest.batches,
    "judge_shard": k2core.clean.pieces,
    "write_clean": k2core.clean.run,
}


def watch(log: Path, death: str) -> None:
    """Write down what is worked on; die at a piece of a pass, counted in this process."""
    done = Counter[str]()

    def mortal(name: str, work: Callable[..., None]) -> Callable[..., None]:
        def work_and_tell(*arguments: object) -> None:
            work(*arguments)
            done[name] += 1
            with log.open("a") as stream:
                stream.write(f"{name}\n")
            if f"{name}:{done[name]}" == death:
                os.kill(os.getpid(), signal.SIGKILL)

        return work_and_tell

    for name, module in PASSES.items():
        setattr(module, name, mortal(name, getattr(module, name)))


if __name__ == "__main__":
    folder, *deaths = sys.argv[1:]
    log = Path(os.environ["K2_HOME"]) / "pieces"
    settings = [word for each in SETTINGS for word in ("--set", each)]
    for death in [*deaths, ""]:
        if not (process := os.fork()):
            watch(log, death)
            app(["data", folder, *settings, "--json"])
        status = os.waitpid(process, 0)[1]
        if bool(death) != os.WIFSIGNALED(status):
            sys.exit(f"{death or 'the last'} ended with {status}")
