"""Engines serve what they say they serve: log p against transformers', before and after updates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from k2core.engines.ray import serve
from k2core.model.digest import NamedTensor, checkpoint_digest
from k2core.model.hf import load_weights
from schemas.placement import Serving
from tests.k2core.release.conftest import SaveModel, save_model

__all__ = ["save_model"]

pytestmark = pytest.mark.slow

PROMPTS = [list(range(20, 20 + n)) for n in (8, 40, 23)]


def logprobs(folder: Path) -> list[list[float]]:
    from transformers import DeepseekV3ForCausalLM

    model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    with torch.no_grad():
        for prompt in PROMPTS:
            said = model(torch.tensor([prompt])).logits[0].log_softmax(-1)
            found.append([float(said[i, token]) for i, token in enumerate(prompt[1:])])
    return found


def stream(folder: Path) -> Iterator[NamedTensor]:
    yield from load_weights(folder).items()


LAYOUTS = {
    "two engines": Serving(num_engines=2),
    "two cores share an engine": Serving(num_engines=1, tp=2),
}


@pytest.mark.parametrize("serving", LAYOUTS.values(), ids=LAYOUTS)
def test_weights_from_folders_and_a_trainer_are_served(
    serving: Serving, tmp_path: Path, save_model: SaveModel
) -> None:
    one, two = save_model(tmp_path / "one", 1), save_model(tmp_path / "two", 2)
    expected = {folder: logprobs(folder) for folder in (one, two)}
    with serve(one, serving, max_model_len=64, max_num_seqs=4) as engines:

        def check(folder: Path) -> None:
            assert engines.weights == checkpoint_digest(folder)
            for found, wanted in zip(engines.score(PROMPTS), expected[folder], strict=True):
                assert found == pytest.approx(wanted, abs=1e-4)

        check(one)
        assert engines.load(two) == checkpoint_digest(two)
        check(two)
        engines.receive_weights(stream(one))
        check(one)
        engines.receive_weights(stream(two))
        check(two)
        lacking = dict(load_weights(one))
        lacking.popitem()
        with pytest.raises(ValueError, match="1 tensors have not come"):
            engines.receive_weights(iter(lacking.items()))
