"""The dialogues of a trajectory set, encoded once on disk and read by number."""

import shutil
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.chat import ChatCodec, EncodedDialogue, iterate_dialogues
from k2core.critic import iterate_examples
from k2core.tables import list_shards
from k2core.tokens import DocumentIds, open_indexed, scan_ids, write_ids, write_indexed
from schemas.rubrics import CriticPairs


class Dialogues:
    """Those that fit into a row; in memory are their lengths and numbers, 12 bytes a dialogue.

    Args:
        prefix: of what `encode_dialogues` wrote.
        row_length: tokens a row.
        max_skipped_frac: the share of dialogues that may be longer.

    Raises:
        ValueError: more are.
    """

    def __init__(self, prefix: Path, row_length: int, max_skipped_frac: float) -> None:
        self._data, self._names = open_indexed(prefix), scan_ids([prefix])
        widths = np.array(self._data.lengths) - 1  # the last token predicts nothing
        self._kept = np.flatnonzero(widths <= row_length)
        self.lengths: NDArray[np.int32] = widths[self._kept]
        """Tokens that each takes of a row."""
        self.num_skipped = len(widths) - len(self._kept)
        if self.num_skipped > max_skipped_frac * len(widths):
            raise ValueError(
                f"{self.num_skipped} of {len(widths)} dialogues are longer than "
                f"sft.sequence_length={row_length} (the longest has {int(widths.max()) + 1} "
                "tokens): raise it, or max_skipped_frac"
            )

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, number: int) -> EncodedDialogue:
        """A dialogue's tokens, and which of them are learned."""
        both = self._data.read(int(self._kept[number]))
        return EncodedDialogue((both >> 1).tolist(), (both & 1).tolist())

    def name(self, number: int) -> str:
        """The id of its trajectory."""
        return self._names[int(self._kept[number])]


def encode_dialogues(
    folder: Path, codec: ChatCodec, at: Path, critic: CriticPairs | None = None, seed: int = 0
) -> Path:
    """Encode every accepted dialogue of an opened set, shard by shard, unless it is done.

    After them come a critic's judgements, named `critic/NUMBER`, where one is asked for.

    Each token is kept doubled, plus 1 where the assistant wrote it: one file holds both.

    Args:
        folder: of the set.
        codec: encodes.
        at: a folder to be, whole or not there; of two who write it at once the first one's stays.
        critic: which judgements.
        seed: chooses and orders them.

    Returns:
        The dataset's prefix.

    Raises:
        ValueError: an empty set, or a row that breaks the schema or the template; names it.
    """
    if not at.exists():
        at.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(mkdtemp(prefix=f"{at.name}-", dir=at.parent))
        judged = list(iterate_examples(folder, codec, critic, seed)) if critic else []
        encoded = map(_double, chain(iterate_dialogues(folder, codec), judged))
        write_indexed(aside / "dialogues", encoded, 2 * codec.vocab_size)
        ids = pl.scan_parquet(list_shards(folder / "accepted"))
        names = DocumentIds([ids], "trajectory_id")
        told = (name for group in names.groups() for name in group)
        asked = (f"critic/{number}" for number in range(len(judged)))
        write_ids(aside / "dialogues", chain(told, asked))
        try:
            aside.rename(at)
        except OSError:
            shutil.rmtree(aside)
            if not at.exists():
                raise
    return at / "dialogues"


def _double(dialogue: EncodedDialogue) -> NDArray[np.int64]:
    return 2 * np.array(dialogue.ids, np.int64) + np.array(dialogue.loss_mask, np.int64)
