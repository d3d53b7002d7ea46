"""Accepted trajectories as token ids."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from k2core.chat import ChatCodec, EncodedDialogue, validate_dialogue
from schemas.chat import Message, Problem, TrajectoryRow


def read_dialogues(folder: Path, codec: ChatCodec) -> list[EncodedDialogue]:
    """Every accepted dialogue, shard by shard, validated and encoded.

    Raises:
        ValueError: an empty set, or a row that breaks the schema or the template; names it.
    """
    shards = sorted((folder / "accepted").glob("*.parquet"))
    if not shards:
        raise ValueError(f"{folder / 'accepted'} holds no parquet shards: nothing to learn from")
    return [dialogue for shard in shards for dialogue in _read_shard(shard, codec)]


def _read_shard(shard: Path, codec: ChatCodec) -> list[EncodedDialogue]:
    frame = TrajectoryRow.validate(pl.read_parquet(shard))
    encoded = []
    for number, row in enumerate(frame.select("problem", "messages").iter_rows()):
        try:
            problem = Problem.model_validate_json(row[0])
            messages = [Message.model_validate(message) for message in json.loads(row[1])]
            validate_dialogue(messages)
        except ValueError as error:
            raise ValueError(f"{shard}, row {number}: {error}") from error
        encoded.append(codec.encode_dialogue(messages, problem.tools))
    return encoded


def drop_long(
    dialogues: Sequence[EncodedDialogue], row_length: int, max_skipped_frac: float
) -> list[EncodedDialogue]:
    """What fits into a row.

    Raises:
        ValueError: too many do not.
    """
    kept = [dialogue for dialogue in dialogues if len(dialogue.ids) - 1 <= row_length]
    skipped = len(dialogues) - len(kept)
    if skipped > max_skipped_frac * len(dialogues):
        longest = max(len(dialogue.ids) for dialogue in dialogues)
        raise ValueError(
            f"{skipped} of {len(dialogues)} dialogues are longer than sft.sequence_length="
            f"{row_length} (the longest has {longest} tokens): raise it, or max_skipped_frac"
        )
    return kept
