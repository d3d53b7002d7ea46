"""A file that entries are appended to as they come, and that a kill cannot spoil."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

from k2core.rephrase.rewrite import Rewriting
from k2core.rephrase.styles import RewriteJob
from k2core.store import States

_PIECES = "rewritings/"


class Entry(TypedDict, total=False):
    """Who writes; or which documents were begun; or one that is finished."""

    writer: str
    first: int
    begun: int
    doc_id: str
    prompt_id: str
    rewriting: Rewriting


class Journal:
    """JSON objects, a line each; an entry is kept once `add` has returned.

    A kill can tear the last line only, and what is torn is cut off when the file is opened again.
    A lost machine may lose more from the end, as nothing waits for the disk: that is done again.

    Args:
        path: the file, made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, object]] = []
        """All that was kept before, in the order in which it was added."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        whole = 0
        with path.open("rb") as lines:
            for line in lines:
                entry = _read_entry(line)
                if entry is None:
                    break
                self.entries.append(entry)
                whole += len(line)
        self._file.truncate(whole)

    def add(self, entry: Mapping[str, object]) -> None:
        """Append an entry in one write."""
        line = json.dumps(entry).encode() + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(f"{self.path}: an entry of {len(line)} bytes was not written whole")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read_entry(line: bytes) -> dict[str, object] | None:
    """None for what a kill left of an entry."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if line.endswith(b"\n") and isinstance(entry, dict) else None


class RewriteJournal:
    """What a run has begun and what it has finished, in a journal that outlives it.

    On this machine nothing that is finished is lost. Of what another machine finds, `share` says
    how much that is: the journal goes into the states in pieces, each written once.

    Args:
        path: the journal.
        states: of the work.
    """

    def __init__(self, path: Path, states: States) -> None:
        self._states = states
        pieces = [states.read(name) for name in states.names(_PIECES)]
        self._num_pieces, self._shared = len(pieces), sum(map(len, pieces))
        if not path.exists() or path.stat().st_size < self._shared:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(pieces))
        self._journal = Journal(path)
        self.writer = ""
        """Who wrote it; empty before anybody began."""
        self.num_tokens = 0
        """Tokens written."""
        self.begun: dict[int, int] = {}
        """Number of a group's first job -> how many of the group were begun."""
        self._rewritings: dict[tuple[str, str], Rewriting] = {}
        for entry in cast(list[Entry], self._journal.entries):
            if "writer" in entry:
                self.writer = entry["writer"]
            elif "begun" in entry:
                self.begun[entry["first"]] = entry["begun"]
            else:
                self._add(entry["doc_id"], entry["prompt_id"], Rewriting(*entry["rewriting"]))

    def sign(self, writer: str) -> None:
        """Note who writes.

        Raises:
            ValueError: it is another than before the run was killed.
        """
        if self.writer and writer != self.writer:
            raise ValueError(
                f"{self._journal.path} has documents that {self.writer} wrote, and now it is "
                f"{writer}: serve the former again, or remove the file to write all anew"
            )
        if not self.writer:
            self._journal.add({"writer": writer})
            self.writer = writer

    def share(self) -> None:
        """Another machine would go on from here."""
        with self._journal.path.open("rb") as stream:
            stream.seek(self._shared)
            piece = stream.read()
        if piece:
            self._num_pieces += 1
            self._states.put(f"{_PIECES}{self._num_pieces:06d}.jsonl", piece)
            self._shared += len(piece)

    def close(self) -> None:
        """Share what is left, and close the journal."""
        self.share()
        self._journal.close()

    def begin(self, first: int, count: int) -> None:
        """Note that `count` documents from the `first` on are begun, as their room is reserved."""
        self._journal.add({"first": first, "begun": count})
        self.begun[first] = count

    def finish(self, job: RewriteJob, rewriting: Rewriting) -> None:
        """Keep a document."""
        doc_id, prompt_id = _key_of(job)
        entry: Entry = {"doc_id": doc_id, "prompt_id": prompt_id, "rewriting": rewriting}
        self._journal.add(entry)
        self._add(doc_id, prompt_id, rewriting)

    def __contains__(self, job: RewriteJob) -> bool:
        return _key_of(job) in self._rewritings

    def __getitem__(self, job: RewriteJob) -> Rewriting:
        return self._rewritings[_key_of(job)]

    def __len__(self) -> int:
        return len(self._rewritings)

    def _add(self, doc_id: str, prompt_id: str, rewriting: Rewriting) -> None:
        self._rewritings[doc_id, prompt_id] = rewriting
        self.num_tokens += rewriting.num_tokens


def _key_of(job: RewriteJob) -> tuple[str, str]:
    return job.document.doc_id, job.style.prompt_id
