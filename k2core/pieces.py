"""Work in pieces, each made apart from the others: in this process, or spread by Ray Data.

A piece is a few files and what is to be done with them; what it becomes is a folder, which depends
on nothing else. So any number of workers gives equal bytes, memory is bounded by a piece, and a
killed run goes on after the pieces that it left.

Where the store is a bucket, workers send what they make to it, and this process reads of that only
what it opens: texts go from worker to bucket to worker, and into the artifact within the bucket.
"""

import contextlib
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from k2core.cycles import no_search_for_cycles
from k2core.passes import Passes
from k2core.store import Artifacts, Draft, MadeFolders, StoredFile, Workspace

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


class Made(NamedTuple):
    """What a piece became."""

    folder: Path
    """Its files, or those of a bucket that were opened."""
    store: Artifacts
    sent: Mapping[str, StoredFile] | None = None
    """Its files by their paths in it, where a worker sent them to the bucket."""

    def names(self) -> list[str]:
        """Paths of its files, sorted."""
        if self.sent is not None:
            return sorted(self.sent)
        found = (p.relative_to(self.folder) for p in self.folder.rglob("*") if p.is_file())
        return sorted(path.as_posix() for path in found)

    def file(self, name: str) -> StoredFile:
        """One of its files, for another piece."""
        return made_file(self.folder / name) if self.sent is None else self.sent[name]

    def open(self, name: str) -> Path:
        """One of its files, brought to this machine if it is not there."""
        return self.store.bring(self.file(name))


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
        self._workspace, self._store = workspace, workspace.store
        self.passes = passes or Passes(workspace.report, {})
        self._num_workers = num_workers

    def make(
        self,
        work: Work,
        pieces: Sequence[Piece],
        folder: Path,
        name: str = "",
        note: Callable[[Made], str] | None = None,
    ) -> Iterator[Made]:
        """Do work on each piece, but for those that an earlier run has made.

        Args:
            work: what is done.
            pieces: the same in each run.
            folder: where results are kept, each by its number; in the scratch folder.
            name: of the pass that it is; the folder's, if it is none.
            note: what is said of a result beside the pass' progress: asked once of each, in order.

        Yields:
            Each piece's result, in order.

        Raises:
            Exception: what work raised for the first piece, in order, that it failed for.
        """
        bucket = self._workspace.made
        pass_name = folder.relative_to(self._workspace.scratch).as_posix() if bucket else ""
        there = bucket.names(pass_name) if bucket else set[str]()
        places = [folder / f"{number:06d}" for number in range(len(pieces))]
        missing = {at for at in places if not at.exists() and at.name not in there}
        todo = [
            _Named(f"{pass_name}/{at.name}", piece)
            for at, piece in zip(places, pieces, strict=True)
            if at in missing
        ]
        aside = folder.with_name(f"{folder.name}.aside")
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(self._do(work, todo, aside)) as made:
            for number, place in enumerate(places, 1):
                if place in missing and (found := next(made)):
                    found.rename(place)
                result = self._result(place, f"{pass_name}/{place.name}")
                name = name or folder.name
                told = note(result) if note else f"{name}: part {number}"
                self.passes.tell(name, number, len(places), told)
                yield result
        shutil.rmtree(aside, ignore_errors=True)

    def _result(self, place: Path, name: str) -> Made:
        """On this disk, if it is there, else in the bucket."""
        if place.exists() or not self._workspace.made:
            return Made(place, self._store)
        copies = place.parent.with_name(f"{place.parent.name}.brought") / place.name
        return Made(copies, self._store, self._workspace.made.files(name, copies))

    def _do(self, work: Work, todo: "Sequence[_Named]", aside: Path) -> Generator[Path | None]:
        """The folder of each result; None where a worker sent it to the bucket."""
        if self._num_workers and todo:
            from k2core.engines.ray.spread import spread_pieces

            pieces, bucket = [each.piece for each in todo], self._workspace.made
            if bucket:
                work = partial(_work_and_send, bucket, work)
                pieces = [piece._replace(told=_Named(name, piece)) for name, piece in todo]
            for folder in spread_pieces(work, pieces, aside, self._num_workers):
                yield None if bucket else folder
            return
        for _, piece in todo:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            brought = [self._store.bring(file) for file in piece.files]
            with no_search_for_cycles():  # rows hold none; a tenth of the time went into it
                work(brought, piece.told, aside)
            yield aside


class _Named(NamedTuple):
    """A piece, and what its result is called in the bucket."""

    name: str
    piece: Piece


def _work_and_send(
    bucket: MadeFolders, work: Work, files: Sequence[Path], told: _Named, folder: Path
) -> None:
    """In a worker: nothing stays in the folder."""
    work(files, told.piece.told, folder)
    bucket.send(told.name, folder)
    shutil.rmtree(folder)
    folder.mkdir()


def take_made(
    workspace: Workspace, counts: Mapping[str, float], taken: "Iterable[tuple[Made, Names]]"
) -> Draft:
    """A draft of what is in `workspace.out` and of pieces' files.

    Those on this disk are moved, and a run killed meanwhile makes their pieces again; the bucket
    copies its own.

    Args:
        workspace: of the work.
        counts: the draft's.
        taken: results, and what of them becomes which file of the artifact.
    """
    draft, in_bucket = Draft(workspace.out, dict(counts)), dict[str, StoredFile]()
    for made, names in taken:
        if made.sent is not None:
            in_bucket |= {target: made.sent[name] for name, target in names.items()}
            continue
        moving = made.folder.with_name(f"{made.folder.name}.moving")
        shutil.rmtree(moving, ignore_errors=True)
        made.folder.rename(moving)
        for name, target in names.items():
            (workspace.out / target).parent.mkdir(parents=True, exist_ok=True)
            (moving / name).rename(workspace.out / target)
    return workspace.store.adopt(draft, in_bucket) if in_bucket else draft


Names = Mapping[str, str]
"""Paths in an artifact by those in a piece's folder."""


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
