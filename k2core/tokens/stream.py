"""Packed samples of a token corpus, in an order fixed by its manifest and a seed.

A domain is read epoch after epoch, its documents shuffled anew in each, end to end; a sample is a
window of that text. Windows are shuffled within their epoch, then the domains' windows are dealt
so that every prefix of the stream holds the mixture to within one sample a domain.
"""

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from k2core.tokens.indexed import IndexedTokens, open_indexed
from schemas.tokenize import TokenDomain, TokenManifest

_KEPT_EPOCHS = 16


class Span(NamedTuple):
    """Part of a document inside a sample."""

    doc_id: str
    row: int
    """Its sequence in `train/DOMAIN.bin`."""
    epoch: int
    start: int
    """First token of the document that is in the sample."""
    length: int


class Sample(NamedTuple):
    """One training row. S = sequence length."""

    tokens: NDArray[np.int64]
    """[S+1]: inputs are all but the last, labels all but the first."""
    segments: NDArray[np.int64]
    """[S+1] 0, 1, ..: which document of the sample; attention stays within, and a label in another
    segment than its input is not to be learned."""


class Reading(NamedTuple):
    """Where training reads a token as an input."""

    sample: int
    column: int
    epoch: int


class Share(NamedTuple):
    """A part of every domain's token budget: phases of training each read one of their own."""

    start: float = 0.0
    stop: float = 1.0


class _Epoch(NamedTuple):
    order: NDArray[np.int64]
    ends: NDArray[np.int64]


class _Domain:
    """One domain's text, repeated, as an endless sequence of positions."""

    def __init__(self, name: str, folder: Path, about: TokenDomain, seed: int) -> None:
        self.name, self.about = name, about
        self.data: IndexedTokens = open_indexed(folder / "train" / name)
        self.epoch_tokens = int(self.data.lengths.sum())
        if self.epoch_tokens != about.train_tokens:
            raise ValueError(
                f"{folder}/train/{name}.bin holds {self.epoch_tokens} tokens; manifest.json says "
                f"{about.train_tokens}"
            )
        self._seed = (seed, zlib.crc32(name.encode()))
        self._epochs: OrderedDict[int, _Epoch] = OrderedDict()

    def window_order(self, sequence_length: int, share: Share) -> NDArray[np.int64]:
        """All windows within the share, shuffled within the epoch that they start in."""
        begin, end = self.bounds(share)
        # The last token of a window is the next one's first: a label, then an input.
        num = max(0, (end - begin - 1) // sequence_length)
        windows = np.arange(num, dtype=np.int64)
        epochs = (begin + windows * sequence_length) // max(1, self.epoch_tokens)
        keys = np.random.default_rng((*self._seed, 1)).random(num)
        order: NDArray[np.int64] = windows[np.lexsort((keys, epochs))]
        return order

    def bounds(self, share: Share) -> tuple[int, int]:
        """First token, and one past the last, of a share of the budget."""
        budget = self.about.budget_tokens
        return round(share.start * budget), round(share.stop * budget)

    def epoch(self, number: int) -> _Epoch:
        """The order of the documents in an epoch, and where each ends."""
        if number not in self._epochs:
            rng = np.random.default_rng((*self._seed, 2, number))
            order = rng.permutation(len(self.data.lengths)).astype(np.int64)
            self._epochs[number] = _Epoch(order, np.cumsum(self.data.lengths[order]))
            if len(self._epochs) > _KEPT_EPOCHS:
                self._epochs.popitem(last=False)
        return self._epochs[number]

    def spans(self, position: int, length: int) -> Iterator[Span]:
        """The documents, or parts of them, in `length` tokens from a position."""
        while length > 0:
            number, offset = divmod(position, self.epoch_tokens)
            epoch = self.epoch(number)
            place = int(np.searchsorted(epoch.ends, offset, side="right"))
            row = int(epoch.order[place])
            start = int(self.data.lengths[row] - (epoch.ends[place] - offset))
            taken = min(length, int(epoch.ends[place]) - offset)
            yield Span(self.about.train_documents[row], row, number, start, taken)
            position, length = position + taken, length - taken

    def positions(self, row: int, token: int) -> Iterator[int]:
        """Where a document's token comes in the text, epoch after epoch of the budget."""
        for number in range(-(-self.about.budget_tokens // max(1, self.epoch_tokens))):
            epoch = self.epoch(number)
            place = int(np.flatnonzero(epoch.order == row)[0])
            start = int(epoch.ends[place] - self.data.lengths[row])
            yield number * self.epoch_tokens + start + token


_WHOLE = Share()


class TokenStream:
    """The samples of a token corpus, by index: a resumed run reads on where it stopped."""

    def __init__(
        self, folder: Path, seed: int, sequence_length: int, share: Share = _WHOLE
    ) -> None:
        self._folder = Path(folder)
        self.sequence_length = sequence_length
        self.manifest = TokenManifest.model_validate_json(
            (self._folder / "manifest.json").read_bytes()
        )
        names = sorted(n for n, about in self.manifest.domains.items() if about.budget_tokens)
        self._domains = [
            _Domain(name, self._folder, self.manifest.domains[name], seed) for name in names
        ]
        self._begins = [domain.bounds(share)[0] for domain in self._domains]
        orders = [domain.window_order(sequence_length, share) for domain in self._domains]
        # Window j of n goes to (j + 1/2) / n of the way: an even deal at every prefix.
        places = np.concatenate([(np.arange(len(o)) + 0.5) / max(1, len(o)) for o in orders])
        deal = np.argsort(places, kind="stable")
        self._domain_of = np.repeat(np.arange(len(orders)), [len(o) for o in orders])[deal]
        self._window_of = np.concatenate(orders)[deal]
        if not len(self._window_of):
            budgets = {n: about.budget_tokens for n, about in self.manifest.domains.items()}
            raise ValueError(
                f"no domain of {self._folder} fills one sequence of {sequence_length} tokens: "
                f"training tokens by domain are {budgets}"
            )

    @property
    def num_samples(self) -> int:
        """Samples in the token budget."""
        return len(self._window_of)

    def domain_of(self, index: int) -> str:
        """The domain that a sample is from."""
        return self._domains[int(self._domain_of[index])].name

    def sample(self, index: int) -> Sample:
        """A training row; index is from 0 to `num_samples` - 1."""
        spans = self.trace(index)
        data = self._domains[int(self._domain_of[index])].data
        tokens = np.concatenate([data.read(span.row, span.start, span.length) for span in spans])
        segments = np.repeat(np.arange(len(spans)), [span.length for span in spans])
        return Sample(tokens, segments.astype(np.int64))

    def trace(self, index: int) -> list[Span]:
        """The documents that a sample is made of, in order."""
        if not 0 <= index < self.num_samples:
            raise IndexError(f"sample {index} of {self.num_samples}: the token budget ends there")
        number = int(self._domain_of[index])
        first = self._begins[number] + int(self._window_of[index]) * self.sequence_length
        return list(self._domains[number].spans(first, self.sequence_length + 1))

    def readings(self, domain: str, row: int, token: int) -> list[Reading]:
        """The samples that read a token as an input: the inverse of `trace`, from the seed alone.

        Args:
            domain: of `train/DOMAIN.bin`.
            row: the document's sequence there.
            token: counted from the document's first.
        """
        names = [known.name for known in self._domains]
        if domain not in names:
            return []
        number = names.index(domain)
        indices = np.flatnonzero(self._domain_of == number)
        by_window = dict(zip(self._window_of[indices].tolist(), indices.tolist(), strict=True))
        found = []
        for epoch, position in enumerate(self._domains[number].positions(row, token)):
            place = position - self._begins[number]
            window, column = divmod(place, self.sequence_length)
            if window in by_window:
                found.append(Reading(by_window[window], column, epoch))
        return found

    def held_out(self, domain: str) -> Iterator[NDArray[np.int64]]:
        """Whole documents that no sample holds, each ended by the end token."""
        if domain not in self.manifest.domains:
            raise KeyError(f"no domain {domain!r}: there are {sorted(self.manifest.domains)}")
        data = open_indexed(self._folder / "heldout" / domain)
        return (data.read(index) for index in range(len(data.lengths)))
