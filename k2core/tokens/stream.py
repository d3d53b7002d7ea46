"""Packed samples of a token corpus, in an order fixed by its manifest and a seed.

A domain is read epoch after epoch, end to end; a sample is a window of that text. Windows are
shuffled within their epoch, then the domains' windows are dealt so that every prefix of the stream
holds the mixture to within two samples a domain. All of it is computed by index: a stream over
trillions of tokens opens at once and holds nothing, whatever ranks there are.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.tokens.deal import Deal
from k2core.tokens.documents import DocumentIds
from k2core.tokens.parts import PartedTokens, read_manifest
from k2core.tokens.permutation import Permutation
from schemas.tokenize import TokenDomain


class DocumentSpan(NamedTuple):
    """Part of a document inside a window."""

    row: int
    """Its document in the domain, counted through all parts."""
    epoch: int
    start: int
    """First token of the document that is in the window."""
    length: int


class Window(NamedTuple):
    """One training row. S = sequence length."""

    tokens: NDArray[np.int64]
    """[S+1]: inputs are all but the last, labels all but the first."""
    segments: NDArray[np.int64]
    """[S+1] 0, 1, ..: which document of the window; attention stays within, and a label in another
    segment than its input is not to be learned."""


class TokenReading(NamedTuple):
    """Where training reads a token as an input."""

    sample: int
    column: int
    epoch: int


class Share(NamedTuple):
    """A part of every domain's token budget: phases of training each read one of their own."""

    start: float = 0.0
    stop: float = 1.0


class _Domain:
    """One domain's text, repeated, as an endless sequence of positions cut into windows."""

    def __init__(
        self, name: str, folder: Path, about: TokenDomain, seed: int, length: int, share: Share
    ) -> None:
        self.name = name
        self.data = PartedTokens(folder, about.train_parts)
        self.epoch_tokens, self.num_documents = self.data.num_tokens, self.data.num_documents
        self._seed, self._length, self._budget = seed, length, about.budget_tokens
        self.begin, end = (round(part * about.budget_tokens) for part in share)
        # The last token of a window is the next one's first: a label, then an input.
        self.num_windows = max(0, (end - self.begin - 1) // length)
        self._shuffle = lru_cache(maxsize=4)(self._draw_shuffle)
        self._turn = lru_cache(maxsize=64)(self._draw_turn)

    def window(self, place: int) -> int:
        """The window that is read in a place: those of an epoch come shuffled, epoch by epoch."""
        first, shuffle = self._shuffle(self._epoch_of(place))
        return first + shuffle[place - first]

    def place(self, window: int) -> int:
        """Where a window is read: the inverse."""
        first, shuffle = self._shuffle(self._epoch_of(window))
        return first + shuffle.place(window - first)

    def spans(self, window: int) -> Iterator[DocumentSpan]:
        """The documents, or parts of them, in a window and one token more."""
        position, left = self.begin + window * self._length, self._length + 1
        row, end = -1, -1
        while left > 0:
            epoch, offset = divmod(position, self.epoch_tokens)
            turned = (offset + self._turn(epoch)) % self.epoch_tokens
            row = row + 1 if turned == end else self.data.row_at(turned)
            start = self.data.start(row)
            end = start + self.data.length(row)
            # A document that an epoch begins with is whole; it ends before the epoch does.
            taken = min(left, end - turned)
            yield DocumentSpan(row, epoch, turned - start, taken)
            position, left = position + taken, left - taken

    def find(self, row: int, token: int) -> Iterator[tuple[int, int, int]]:
        """Window, column and epoch of every time that a document's token comes in the budget."""
        for epoch in range(-(-self._budget // max(1, self.epoch_tokens))):
            offset = (self.data.start(row) + token - self._turn(epoch)) % self.epoch_tokens
            window, column = divmod(epoch * self.epoch_tokens + offset - self.begin, self._length)
            if 0 <= window < self.num_windows:
                yield window, column, epoch

    def _epoch_of(self, window: int) -> int:
        return (self.begin + window * self._length) // self.epoch_tokens

    def _draw_shuffle(self, epoch: int) -> tuple[int, Permutation]:
        """The first window that starts in an epoch, and the order of all that do."""
        first, stop = (
            min(self.num_windows, max(0, -(-(e * self.epoch_tokens - self.begin) // self._length)))
            for e in (epoch, epoch + 1)
        )
        return first, Permutation(stop - first, (self._seed, self.name, "windows", epoch))

    def _draw_turn(self, epoch: int) -> int:
        """The token that an epoch begins with, a document's first: windows are cut anew."""
        rows = Permutation(self.num_documents, (self._seed, self.name, "turns"))
        return self.data.start(rows[epoch % self.num_documents])


_WHOLE = Share()


class TokenStream:
    """The samples of a token corpus, by index: a resumed run reads on where it stopped."""

    def __init__(
        self, folder: Path, seed: int, sequence_length: int, share: Share = _WHOLE
    ) -> None:
        self._folder = Path(folder)
        self.sequence_length = sequence_length
        self.manifest = read_manifest(self._folder)
        names = sorted(n for n, about in self.manifest.domains.items() if about.budget_tokens)
        self._domains = [
            _Domain(n, self._folder, self.manifest.domains[n], seed, sequence_length, share)
            for n in names
        ]
        self._deal = Deal([domain.num_windows for domain in self._domains])
        if not self._deal.size:
            budgets = {n: about.budget_tokens for n, about in self.manifest.domains.items()}
            raise ValueError(
                f"no domain of {self._folder} fills one sequence of {sequence_length} tokens: "
                f"training tokens by domain are {budgets}"
            )

    @property
    def num_samples(self) -> int:
        """Samples in the token budget."""
        return self._deal.size

    def domain_of(self, index: int) -> str:
        """The domain that a sample is from."""
        return self._find(index)[0].name

    def sample(self, index: int) -> Window:
        """A training row; index is from 0 to `num_samples` - 1."""
        domain, window = self._find(index)
        spans, data = list(domain.spans(window)), domain.data
        tokens = np.concatenate([data.read(span.row, span.start, span.length) for span in spans])
        segments = np.repeat(np.arange(len(spans)), [span.length for span in spans])
        return Window(tokens, segments.astype(np.int64))

    def trace(self, index: int) -> list[DocumentSpan]:
        """The documents that a sample is made of, in order."""
        domain, window = self._find(index)
        return list(domain.spans(window))

    def document_ids(self, domain: str) -> DocumentIds:
        """The names of a domain's documents by row."""
        return PartedTokens(self._folder, self.manifest.domains[domain].train_parts).document_ids()

    def readings(self, domain: str, row: int, token: int) -> list[TokenReading]:
        """The samples that read a token as an input: the inverse of `trace`, from the seed alone.

        Args:
            domain: of the mixture.
            row: the document's in the domain, counted through all parts.
            token: counted from the document's first.
        """
        return [
            TokenReading(self._deal.index(number, known.place(window)), column, epoch)
            for number, known in enumerate(self._domains)
            if known.name == domain
            for window, column, epoch in known.find(row, token)
        ]

    def held_out(self, domain: str) -> Iterator[NDArray[np.int64]]:
        """Whole documents that no sample holds, each ended by the end token."""
        if domain not in self.manifest.domains:
            raise KeyError(f"no domain {domain!r}: there are {sorted(self.manifest.domains)}")
        data = PartedTokens(self._folder, self.manifest.domains[domain].heldout_parts)
        return map(data.read, range(data.num_documents))

    def _find(self, index: int) -> tuple[_Domain, int]:
        if not 0 <= index < self.num_samples:
            raise IndexError(f"sample {index} of {self.num_samples}: the token budget ends there")
        part, place = self._deal[index]
        return self._domains[part], self._domains[part].window(place)
