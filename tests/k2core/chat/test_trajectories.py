"""Reading trajectories: bad sets and rows are named before any step."""

import json
from pathlib import Path

import polars as pl
import pytest

from k2core.chat import ChatCodec, read_dialogues
from schemas.chat import Message, Problem, ToolCall


def _write(folder: Path, messages: list[Message]) -> Path:
    problem = Problem(
        problem_id="p", family="f", group="math", messages=tuple(messages[:1]), verifier="v"
    )
    row = {
        "trajectory_id": "t",
        "problem_id": "p",
        "attempt": 0,
        "parent": "",
        "pass_rate": 1.0,
        "family": "f",
        "group": "math",
        "agent": "expert",
        "problem": problem.model_dump_json(),
        "messages": json.dumps([m.model_dump() for m in messages]),
        "state": "{}",
        "stop_reason": "answered",
        "reward": 1.0,
        "judge": "checker",
        "fault": "",
        "reason": "",
    }
    (folder / "accepted").mkdir()
    pl.DataFrame([row]).write_parquet(folder / "accepted" / "0.parquet")
    return folder


USER, SAID = Message(role="user", content="hi"), Message(role="assistant", content="yo")


def test_a_dialogue_is_encoded_with_its_mask(tmp_path: Path, codec: ChatCodec) -> None:
    (dialogue,) = read_dialogues(_write(tmp_path, [USER, SAID]), codec)
    written = [i for i, m in zip(dialogue.ids, dialogue.loss_mask, strict=True) if m]
    assert codec.decode(written) == "yo<|im_end|>"
    size = len(dialogue.ids)
    assert len(read_dialogues(tmp_path, codec, max_tokens=size)) == 1
    assert read_dialogues(tmp_path, codec, max_tokens=size - 1) == []


def test_a_row_that_breaks_the_template_is_named(tmp_path: Path, codec: ChatCodec) -> None:
    call = ToolCall(id="functions.add:3", name="add", arguments="{}")
    broken = Message(role="assistant", tool_calls=(call,))
    with pytest.raises(ValueError, match=r"0\.parquet, row 0: message 1: id functions\.add:3"):
        read_dialogues(_write(tmp_path, [USER, broken]), codec)


def test_an_empty_set_is_named(tmp_path: Path, codec: ChatCodec) -> None:
    with pytest.raises(ValueError, match="no parquet shards"):
        read_dialogues(tmp_path, codec)


def test_a_set_that_accepted_nothing_is_named(tmp_path: Path, codec: ChatCodec) -> None:
    shard = _write(tmp_path, [USER, SAID]) / "accepted" / "0.parquet"
    pl.read_parquet(shard).clear().write_parquet(shard)
    with pytest.raises(ValueError, match="accepted holds no trajectories: accept some"):
        read_dialogues(tmp_path, codec)
