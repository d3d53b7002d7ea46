"""Engines serve what they say they serve: log p against transformers', before and after updates."""

from pathlib import Path

import pytest
import ray
import torch

from k2core.engines.protocol import Decoding
from k2core.engines.ray import serve
from k2core.engines.ray.serve import ServedEngines
from k2core.model.digest import checkpoint_digest
from k2core.model.hf import load_weights
from schemas.placement import Serving
from tests.k2core.held import HeldWeights
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


def test_an_embedding_that_is_input_and_output_is_served_as_loaded(tmp_path: Path) -> None:
    """A layer whose weight is another's is packed anew, too: by folders and by a trainer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    wanted = []
    for name in ("one", "two"):
        model = LlamaForCausalLM(config).eval()
        model.save_pretrained(tmp_path / name)
        with torch.no_grad():
            said = model(torch.tensor([PROMPTS[0]])).logits[0].log_softmax(-1)
        wanted.append([float(said[i, token]) for i, token in enumerate(PROMPTS[0][1:])])
    one = Serving(num_engines=1)
    with serve(tmp_path / "one", one, max_model_len=64, max_num_seqs=4) as served:
        assert served.score(PROMPTS[:1])[0] == pytest.approx(wanted[0], abs=1e-4)
        served.receive_weights(held(tmp_path / "two"))
        assert served.score(PROMPTS[:1])[0] == pytest.approx(wanted[1], abs=1e-4)


def held(folder: Path) -> HeldWeights:
    return HeldWeights(load_weights(folder))


def check_sampled(engines: ServedEngines) -> None:
    """Log p of what is sampled, token by token over cached keys, is that of the whole sequence."""
    how = [Decoding(max_tokens=12, temperature=1.0, seed=seed) for seed in range(len(PROMPTS))]
    said = engines.generate(PROMPTS, how)
    whole = [prompt + found.token_ids for prompt, found in zip(PROMPTS, said, strict=True)]
    for prompt, found, scores in zip(PROMPTS, said, engines.score(whole), strict=True):
        assert found.logprobs == pytest.approx(scores[len(prompt) - 1 :], abs=1e-4)


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
        lean = [a.__ray_call__.remote(lambda engine: engine.runs_lean) for a in engines.actors]
        assert all(found == (serving.tp == 1) for found in ray.get(lean))
        check_sampled(engines)
        assert engines.load(two) == checkpoint_digest(two)
        check(two)
        engines.receive_weights(held(one))
        check(one)
        engines.receive_weights(held(two))
        check(two)
        for receipts in engines.ask_all("noted"):
            assert {receipt.digest for receipt in receipts} == {engines.weights}
        whole = dict(load_weights(one))
        with pytest.raises(ValueError, match=r"where lm_head\.weight was planned"):
            engines.receive_weights(HeldWeights(whole, lost="lm_head.weight"))
        with pytest.raises(RuntimeError, match="a part of the trainer's last weights"):
            print(engines.weights)
        engines.receive_weights(held(one))
        check(one)
        whole.pop("lm_head.weight")
        with pytest.raises(ValueError, match=r"the trainer lacks tensor lm_head\.weight"):
            engines.receive_weights(HeldWeights(whole))
