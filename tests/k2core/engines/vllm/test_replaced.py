"""A vLLM engine that is killed: another says what it would have said, under the same weights."""

from pathlib import Path

import pytest
import ray

from k2core.engines.protocol import Ask, Decoding
from k2core.engines.ray import serve
from k2core.engines.ray.serve import EngineLostError
from k2core.model.hf import load_weights
from schemas.placement import Serving
from tests.k2core.held import HeldWeights
from tests.k2core.release.conftest import SaveModel, save_model

__all__ = ["save_model"]

pytestmark = pytest.mark.slow


def test_a_killed_vllm_engine_is_replaced_with_the_weights_of_the_trainer(
    tmp_path: Path, save_model: SaveModel
) -> None:
    """The replaced engine samples as the others do: by seeds, under the weights last sent."""
    one, two = save_model(tmp_path / "one", 1), save_model(tmp_path / "two", 2)
    asks = [
        Ask(place, [5, 6, 7 + place // 2], Decoding(max_tokens=40, temperature=1.0, seed=place))
        for place in range(8)
    ]

    def hold(harm: bool) -> dict[int, list[int]]:
        talk = engines.converse(asks)
        said = dict[int, list[int]]()
        for arrival in talk:
            assert arrival.place not in said
            said[arrival.place] = arrival.completion.token_ids
            talk.reply(arrival.place, None)
            if harm:
                harm = False
                ray.kill(engines.actors[0])
        assert talk.usage.tokens >= sum(map(len, said.values())) / 2
        return said

    with serve(one, Serving(num_engines=2), max_model_len=64, max_num_seqs=2) as engines:
        engines.receive_weights(HeldWeights(load_weights(two)))
        whole = hold(harm=False)
        assert hold(harm=True) == whole
        ray.kill(engines.actors[1])  # between iterations
        engines.receive_weights(HeldWeights(load_weights(one)))
        hold(harm=False)
        engines.receive_weights(HeldWeights(load_weights(two)))
        assert hold(harm=False) == whole
        ray.kill(engines.actors[0])
        assert hold(harm=False) == whole
        ray.kill(engines.actors[0])
        with pytest.raises(EngineLostError, match="4 engines died"):
            hold(harm=False)
