"""What other machines do in the tests: it runs in processes of its own."""

import itertools
import resource
import time
from multiprocessing import Queue
from pathlib import Path

from k2core.store import Beat, Draft, Store
from schemas.artifacts import RawCorpus

NUM_FILES = 20
_READS = 400


def open_and_read(root: str, cache: str, digest: str, results: "Queue[str]") -> None:
    """Open an artifact of `NUM_FILES` files and read it again and again."""
    try:
        folder = Store(root, Path(cache)).open(RawCorpus(digest=digest))
        reads = {(len(list(folder.iterdir())), (folder / "7").read_bytes()) for _ in range(_READS)}
        results.put("well" if reads == {(NUM_FILES, b"7")} else f"read {reads}")
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")
        raise


BEAT = Beat(every=0.1, patience=2.0)
"""Of leases in tests."""


def work_in_steps(root: str, cache: str) -> None:
    """Seal a state again and again, until killed."""
    store = Store(root, Path(cache), BEAT)
    with store.locked("key"):
        states = store.workspace("key").states
        for step in itertools.count(1):
            with states.writing(f"step-{step}/text") as path:
                path.write_text(f"of step-{step}")
            states.seal(f"step-{step}", keep=2)
            time.sleep(0.2)


def publish_and_open(root: str, place: str, num_bytes: int, results: "Queue[int]") -> None:
    """Publish two files and open them elsewhere; tells by how many bytes this process grew."""
    out = Store(root, Path(place) / "here").workspace("work").out
    piece = bytes(range(256)) * 4096
    for number in range(2):
        with (out / str(number)).open("wb") as stream:
            for _ in range(num_bytes // len(piece)):
                stream.write(piece)
    before = _peak_bytes()
    artifact = Store(root, Path(place) / "here").publish(RawCorpus, Draft(out, {}))
    Store(root, Path(place) / "there").open(artifact)
    results.put(_peak_bytes() - before)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
