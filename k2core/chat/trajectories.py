"""The accepted dialogues of a trajectory set as token ids."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from k2core.chat.codec import ChatCodec, EncodedDialogue
from k2core.chat.parse import validate_dialogue
from k2core.tables import list_shards, read_shard
from schemas.chat import Message, Problem, TrajectoryRow

_MESSAGES = TypeAdapter(tuple[Message, ...])


def read_dialogues(
    folder: Path, codec: ChatCodec, *, max_tokens: int | None = None
) -> list[EncodedDialogue]:
    """Every accepted dialogue, shard by shard, validated and encoded.

    Args:
        folder: an opened `TrajectorySet`.
        codec: encodes; its tokenizer is the learner's.
        max_tokens: longer dialogues are left out.

    Raises:
        ValueError: an empty set, or a row that breaks the schema or the template; names it.
    """
    dialogues = iterate_dialogues(folder, codec)
    return [one for one in dialogues if max_tokens is None or len(one.ids) <= max_tokens]


def iterate_dialogues(folder: Path, codec: ChatCodec) -> Iterator[EncodedDialogue]:
    """The same one by one: a shard is in memory at a time."""
    accepted, empty = folder / "accepted", True
    for shard in list_shards(accepted):
        for dialogue in _read_shard(shard, codec):
            yield dialogue
            empty = False
    if empty:
        raise ValueError(f"{accepted} holds no trajectories: accept some in synthesize")


def _read_shard(shard: Path, codec: ChatCodec) -> Iterator[EncodedDialogue]:
    frame = read_shard(shard, TrajectoryRow)
    for number, (problem, messages) in enumerate(frame.select("problem", "messages").iter_rows()):
        try:
            tools = Problem.model_validate_json(problem).tools
            said = _MESSAGES.validate_json(messages)
            validate_dialogue(said)
        except ValueError as error:
            raise ValueError(f"{shard}, row {number}: {error}") from error
        yield codec.encode_dialogue(said, tools)
