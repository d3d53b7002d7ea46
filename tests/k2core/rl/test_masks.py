"""What a grammar left at each token: the engine's, given again; and the trainer's log p of it."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from llguidance import LLMatcher, grammar_from
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from k2core.agents import Dialogue, How, Segment, Start, Table, play_starts
from k2core.agents.session import Session
from k2core.chat import SPECIAL_TOKENS, ChatCodec, turn_grammar
from k2core.chat.hub import write_chat_files
from k2core.evaluate.answers import is_valid_call
from k2core.model.config import load_shape
from k2core.problems import training_problem
from k2core.rl.batches import build_batch, policy_rows
from k2core.rl.masks import MaskError, TurnMasks
from k2core.rl.mismatch import measure_mismatch
from k2core.rl.samples import Sample
from schemas.chat import ToolSpec
from schemas.optim import OptimConfig
from schemas.placement import Placement, Serving
from schemas.problems import ProblemsConfig
from tests.k2core.release.conftest import SaveModel, save_model

if TYPE_CHECKING:
    from k2core.engines.megatron.trainer import Trainer

__all__ = ["save_model"]

ADD = ToolSpec(
    name="add",
    description="a + b",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["one", "two"]}},
        "required": ["a", "b"],
    },
)
PROBLEM = training_problem(ProblemsConfig(families={"sum_with_tool": 1.0}), 0)


@pytest.fixture
def folder(tmp_path: Path, tokenizer_folder: Path) -> Path:
    shutil.copy(tokenizer_folder / "tokenizer.json", tmp_path)
    write_chat_files(tmp_path)
    return tmp_path


def test_masks_are_what_an_engine_is_given_token_by_token(folder: Path, codec: ChatCodec) -> None:
    """A drawn turn: of each place the bits that the engine's backend fills, all of the grammar."""
    masks, size = TurnMasks(folder, codec.vocab_size), codec.vocab_size
    grammar = turn_grammar({ADD.name: ADD.parameters}, 0, "required")
    state = LLMatcher(masks._tokenizer, grammar_from("grammar", grammar))
    draw, ids, left = random.Random(0), list[int](), list[list[int]]()
    bits = allocate_token_bitmask(1, size)
    while not ids or ids[-1] not in codec.stop_token_ids:
        fill_next_token_bitmask(state, bits)
        left.append([token for token in range(size) if bits[0, token // 32] >> token % 32 & 1])
        assert state.is_stopped() or all(state.validate_tokens([token]) for token in left[-1])
        ids.append(draw.choice([t for t in left[-1] if t < len(SPECIAL_TOKENS)] or left[-1]))
        assert state.consume_token(ids[-1])
    turns = (Segment([1, 2, 3], None), Segment(ids, [0.0] * len(ids), "w", grammar))
    dialogue = Dialogue(PROBLEM, (), turns, {}, "answered", 1, "w")
    found = masks.of(dialogue)
    assert found[:3] == [b""] * 3
    assert [[t for t in range(size) if m[t // 8] >> t % 8 & 1] for m in found[3:]] == left
    assert len({id(mask) for mask in found}) == len(set(found))
    free = dialogue._replace(segments=(turns[0], turns[1]._replace(grammar="")))
    assert not any(masks.of(free))
    other = turn_grammar({"subtract": ADD.parameters}, 0, "required")
    with pytest.raises(
        MaskError, match=rf"{PROBLEM.problem_id}: token \d+, \d+ tokens into a turn"
    ):
        masks.of(dialogue._replace(segments=(turns[1]._replace(grammar=other),)))


def lean_to_calls(folder: Path, codec: ChatCodec) -> None:
    """Draw the model of random weights to what begins a call."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    header = weights["model.embed_tokens.weight"][SPECIAL_TOKENS.index("<|im_middle|>")]
    begin = SPECIAL_TOKENS.index("<|tool_calls_section_begin|>")
    norm = weights["model.norm.weight"]
    weights["lm_head.weight"][begin] = 6 * header / norm / (header.norm() * len(header) ** 0.5)
    save_file(weights, path, metadata={"format": "pt"})


class Sampling(NamedTuple):
    """How an engine samples, and at which temperature its log p are the trainer's."""

    temperature: float
    trained_at: float
    seeds: int


SAMPLINGS = (Sampling(1.0, 1.0, 96), Sampling(0.6, 0.6, 32), Sampling(0.0, 1.0, 2))
"""Greedily the model's own log p are told, of what the grammar left."""


@pytest.mark.slow
def test_engine_and_trainer_agree_under_the_grammar(tmp_path: Path, save_model: SaveModel) -> None:
    """Every call that a model of random weights makes is valid; log p as far as fp32 goes."""
    from k2core.engines.megatron.trainer import Trainer
    from k2core.engines.ray import serve

    folder = save_model(tmp_path / "model", 1)
    codec = ChatCodec(folder)
    lean_to_calls(folder, codec)
    problem = PROBLEM.model_copy(update={"max_tokens": 192})
    played = dict[Sampling, list[Dialogue]]()
    with serve(folder, Serving(num_engines=1), max_model_len=1024, max_num_seqs=32) as engine:
        for sampling in SAMPLINGS:
            how = How(sampling.temperature, 1.0, enforced=True)
            table = Table(codec, Session, 1024, how, engine.weights)
            starts = [Start(problem, seed) for seed in range(sampling.seeds)]
            found = play_starts(starts, engine, table)
            played[sampling] = [one for one in found if isinstance(one, Dialogue)]
    placement = Placement(num_ranks=1, micro_batch=8)
    shape = load_shape(folder)
    trainer = Trainer(shape, OptimConfig(), seed=0, checkpoint=folder, placement=placement)
    for sampling, dialogues in played.items():
        assert len(dialogues) == sampling.seeds
        check_turns(dialogues)
        assert sampling.temperature == 0 or any(one.num_calls for one in dialogues)
        check_logprobs(dialogues, sampling, folder, trainer)
    alike = [dialogue.token_ids for dialogue in played[SAMPLINGS[-1]]]
    assert alike[0] == alike[1]


def check_turns(played: Sequence[Dialogue]) -> None:
    """None is broken, and every call is valid."""
    tools = {tool.name: tool for tool in PROBLEM.tools}
    assert not {"faulty", "malformed"} & {one.stop_reason for one in played}
    calls = [call for one in played for message in one.messages for call in message.tool_calls]
    assert all(is_valid_call(call, tools) for call in calls)


def check_logprobs(
    played: Sequence[Dialogue], sampling: Sampling, folder: Path, trainer: "Trainer"
) -> None:
    """The trainer's under the masks are the engine's, and without them are not."""
    masks = TurnMasks(folder, trainer.shape.vocab_size)
    samples = [Sample(one) for one in played]
    rows = policy_rows(samples, len(played), sampling.trained_at, masks.of)
    batch = build_batch(rows, ChatCodec(folder).pad_id, 1)
    held = measure_mismatch(batch, trainer.logprobs(batch) * batch.loss_mask)
    assert held.largest < 1e-4
    free = trainer.logprobs(batch._replace(masks=None)) * batch.loss_mask
    assert measure_mismatch(batch, free).largest > 1.0
    assert isinstance(batch.masks, torch.Tensor)
    assert len(batch.masks) < len(rows) * 8  # equal masks are kept once
