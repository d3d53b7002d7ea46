"""A domain's parts as one row of documents: opened where they are read, and few at a time."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from k2core.tokens.documents import DocumentIds, scan_ids
from k2core.tokens.indexed import IndexedTokens, open_indexed
from schemas.errors import InputsError
from schemas.tokenize import TokenManifest, TokenPart

_MOST_OPEN = 32
"""Parts of a row: each holds two files open, and a process may have 1,024."""


def read_manifest(folder: Path) -> TokenManifest:
    """A token corpus' `manifest.json`.

    Raises:
        InputsError: it is none that this code writes.
    """
    path = folder / "manifest.json"
    try:
        return TokenManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputsError(
            f"{path}: {where}: {first['msg']}. Before version 2026.11.29 tokenize wrote one file a "
            "domain: run it again (samples stay what they were), or read these tokens with the "
            "code that made them"
        ) from error


class _Place(NamedTuple):
    part: int
    row: int
    """In the part."""


class PartedTokens:
    """A domain's split: the documents of its parts, end to end, and their tokens likewise.

    Args:
        folder: of the token corpus.
        parts: in order, as the manifest has them; of no file is anything read yet.
    """

    def __init__(self, folder: Path, parts: Sequence[TokenPart]) -> None:
        self._folder, self._parts = folder, parts
        self._first_rows = [0, *accumulate(part.num_documents for part in parts)]
        self._first_tokens = [0, *accumulate(part.num_tokens for part in parts)]
        self.num_documents, self.num_tokens = self._first_rows[-1], self._first_tokens[-1]
        self._open = lru_cache(maxsize=_MOST_OPEN)(self._open_part)

    def start(self, row: int) -> int:
        """The first token of a document."""
        part, row = self._place(row)
        return self._first_tokens[part] + self._open(part).starts[row]

    def length(self, row: int) -> int:
        """Tokens of a document."""
        part, row = self._place(row)
        return int(self._open(part).lengths[row])

    def lengths(self, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """[stop - start] tokens of neighbouring documents, of all if none are named."""
        stop = self.num_documents if stop is None else stop
        found = [np.empty(0, np.int32)]
        while start < stop:
            part, row = self._place(start)
            found.append(np.array(self._open(part).lengths[row : row + stop - start]))
            start += len(found[-1])
        return np.concatenate(found)

    def row_at(self, offset: int) -> int:
        """The document that holds a token."""
        part = bisect_right(self._first_tokens, offset) - 1
        row = self._open(part).row_at(offset - self._first_tokens[part])
        return self._first_rows[part] + row

    def read(self, row: int, start: int = 0, length: int | None = None) -> NDArray[np.int64]:
        """Tokens of one document, or of a part of it."""
        part, row = self._place(row)
        return self._open(part).read(row, start, length)

    def document_ids(self) -> DocumentIds:
        """The names of the documents by row."""
        prefixes = [self._folder / part.name for part in self._parts]
        return scan_ids(prefixes, [part.num_documents for part in self._parts])

    def _place(self, row: int) -> _Place:
        if not 0 <= row < self.num_documents:
            raise IndexError(f"document {row} of {self.num_documents}")
        part = bisect_right(self._first_rows, row) - 1
        return _Place(part, row - self._first_rows[part])

    def _open_part(self, number: int) -> IndexedTokens:
        part = self._parts[number]
        data = open_indexed(self._folder / part.name)
        for found, stated, what in (
            (len(data.tokens), part.num_tokens, "tokens"),
            (len(data.lengths), part.num_documents, "documents"),
        ):
            if found != stated:
                raise ValueError(
                    f"{self._folder / part.name}.bin holds {found} {what}; manifest.json says "
                    f"{stated}"
                )
        return data
