"""What other machines do in the tests: it runs in processes of its own."""

from multiprocessing import Queue
from pathlib import Path

from k2core.store import Store
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
