"""Accepted trajectories as token ids, for the auxiliary loss (PTX)."""

import json
from pathlib import Path

import polars as pl

from k2core.chat import ChatCodec, EncodedDialogue
from schemas.chat import Message, Problem, TrajectoryRow


def read_texts(folder: Path, codec: ChatCodec, max_tokens: int) -> list[EncodedDialogue]:
    """Accepted dialogues of at most `max_tokens`, shard by shard."""
    texts = []
    for shard in sorted((folder / "accepted").glob("*.parquet")):
        frame = TrajectoryRow.validate(pl.read_parquet(shard))
        for problem, messages in frame.select("problem", "messages").iter_rows():
            tools = Problem.model_validate_json(problem).tools
            said = [Message.model_validate(message) for message in json.loads(messages)]
            texts.append(codec.encode_dialogue(said, tools))
    if not texts:
        raise ValueError(
            f"{folder / 'accepted'} holds no trajectories for rl.ptx_weight > 0: set it to 0, or "
            "accept some in synthesize"
        )
    return [text for text in texts if len(text.ids) <= max_tokens]
