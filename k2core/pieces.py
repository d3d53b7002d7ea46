"""Work in pieces, each made apart from the others: in this process, or spread by Ray Data.

A piece is a few files and what is to be done with them; what it becomes is a folder, which depends
on nothing else. So any number of workers gives equal bytes, memory is bounded by a piece, and a
killed run goes on after the pieces that it left.
"""

import contextlib
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from k2core.cycles import no_search_for_cycles
from k2core.passes import Passes
from k2core.store import StoredFile, Workspace

Work = Callable[..., None]
"""`work(files, told, folder)`: of a piece its files, what is told and an empty folder to write in;
picklable."""


class NotSeenError(FileNotFoundError):
    """Work does not find on this machine what it was told of: the driver's does it."""


class Piece(NamedTuple):
    """What a worker is given."""

    files: tuple[StoredFile, ...]
    told: object = None
    """Whatever else it must know; picklable and small."""


class Crew:
    """Who makes pieces.

    Args:
        workspace: whose store the files are in.
        num_workers: pieces at a time that Ray Data makes; 0 makes them in this process.
        passes: what part of the stage's time each takes; of others nothing is said.
    """

    def __init__(
        self, workspace: Workspace, num_workers: int, passes: Passes | None = None
    ) -> None:
        self._store, self.passes = workspace.store, passes or Passes(workspace.report, {})
        self._num_workers = num_workers

    def make(
        self,
        work: Work,
        pieces: Sequence[Piece],
        folder: Path,
        name: str = "",
        note: Callable[[Path], str] | None = None,
    ) -> Iterator[Path]:
        """Do work on each piece, but for those that an earlier run has made.

        Args:
            work: what is done.
            pieces: the same in each run.
            folder: where results are kept, each by its number.
            name: of the pass that it is; the folder's, if it is none.
            note: what is said of a result beside the pass' progress: asked once of each, in order.

        Yields:
            The folder of each piece's result, in order.

        Raises:
            Exception: what work raised for the first piece, in order, that it failed for.
        """
        places = [folder / f"{number:06d}" for number in range(len(pieces))]
        missing = [piece for piece, place in zip(pieces, places, strict=True) if not place.exists()]
        aside = folder.with_name(f"{folder.name}.aside")
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(self._do(work, missing, aside)) as made:
            for number, place in enumerate(places, 1):
                if not place.exists():
                    next(made).rename(place)
                name = name or folder.name
                told = note(place) if note else f"{name}: part {number}"
                self.passes.tell(name, number, len(places), told)
                yield place
        shutil.rmtree(aside, ignore_errors=True)

    def _do(self, work: Work, pieces: Sequence[Piece], aside: Path) -> Generator[Path]:
        if self._num_workers and pieces:
            from k2core.engines.ray.spread import spread_pieces

            yield from spread_pieces(work, pieces, aside, self._num_workers)
            return
        for piece in pieces:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            brought = [self._store.bring(file) for file in piece.files]
            with no_search_for_cycles():  # rows hold none; a tenth of the time went into it
                work(brought, piece.told, aside)
            yield aside


@contextlib.contextmanager
def gather_crew(
    workspace: Workspace, num_workers: int, passes: Passes | None = None
) -> Iterator[Crew]:
    """A crew; the cluster that it works on is held until the end, and started only once."""
    crew = Crew(workspace, num_workers, passes)
    if not num_workers:
        yield crew
        return
    from k2core.engines.ray.spread import hold_workers

    with hold_workers(num_workers):
        yield crew


def made_file(path: Path) -> StoredFile:
    """A file of another piece's result, as one that a piece is given."""
    return StoredFile(path, str(path), "")
