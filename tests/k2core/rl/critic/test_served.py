"""A served policy as the critic: a letter, with the odds that its own log p gives the two."""

import math
from pathlib import Path

import pytest

from k2core.chat import ChatCodec
from k2core.critic import LETTERS, OrderedPair, Template
from k2core.engines.ray import serve
from k2core.rl.critic import EngineCritic
from schemas.placement import Serving
from schemas.rubrics import CriticTemplate
from tests.k2core.release.conftest import SaveModel, save_model
from tests.k2core.rl.critic.test_judge import PROBLEM

__all__ = ["save_model"]

pytestmark = pytest.mark.slow


def test_a_letters_odds_are_the_policys(
    tmp_path: Path, save_model: SaveModel, codec: ChatCodec
) -> None:
    folder = save_model(tmp_path / "model", 1)
    template = Template(CriticTemplate(show="none"), codec)
    pairs = [OrderedPair(PROBLEM, str(n), "5") for n in range(4)]
    letters = [codec.encode(letter)[0] for letter in LETTERS]
    with serve(folder, Serving(num_engines=1), max_model_len=200, max_num_seqs=4) as engine:
        found = EngineCritic(engine, template, 200)(pairs)
        prompts = [template.encode_prompt(pair) for pair in pairs]
        scores = engine.score([[*prompt, letter] for prompt in prompts for letter in letters])
    odds = [a[-1] - b[-1] for a, b in zip(scores[::2], scores[1::2], strict=True)]
    assert found == pytest.approx([1 / (1 + math.exp(-gap)) for gap in odds], abs=1e-3)
    assert len({round(gap, 3) for gap in odds}) > 1
