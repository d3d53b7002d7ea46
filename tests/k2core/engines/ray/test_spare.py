"""A driver of several stages keeps engines' processes; what they serve is as if they were new."""

from pathlib import Path

import pytest
import ray

from k2core.engines.protocol import Decoding
from k2core.engines.ray import ServedEngines, engines_ahead, keep_engines, serve
from k2core.engines.ray.spare import put_by, reuse_spare
from schemas.placement import Serving
from tests.k2core.release.conftest import SaveModel, save_model

__all__ = ["save_model"]

pytestmark = pytest.mark.slow

HOW = Decoding(max_tokens=6, temperature=1.0, seed=1)


def start(folder: Path, num_engines: int) -> ServedEngines:
    return serve(folder, Serving(num_engines=num_engines), max_model_len=64, max_num_seqs=2)


def answers(engine: ServedEngines) -> tuple[str, list[list[float]]]:
    said = engine.generate([[5, 6, 7], [8, 9]], [HOW, HOW])
    return engine.weights, [[*completion.token_ids, *completion.logprobs] for completion in said]


def processes(engine: ServedEngines) -> set[str]:
    return {actor._actor_id.hex() for actor in engine.actors}


def test_kept_processes_serve_the_next_model(tmp_path: Path, save_model: SaveModel) -> None:
    one, two = save_model(tmp_path / "one", 1), save_model(tmp_path / "two", 2)
    with keep_engines():
        with start(one, 2) as engines:
            first, before = processes(engines), answers(engines)
        with start(two, 1) as engines:
            assert processes(engines) < first
            kept = answers(engines)
        assert ray.is_initialized()
    assert not ray.is_initialized()
    with start(two, 1) as engines:
        assert processes(engines).isdisjoint(first)
        assert answers(engines) == kept
    assert kept != before
    assert not ray.is_initialized()


def test_a_process_that_died_while_it_waited_is_not_taken(
    tmp_path: Path, save_model: SaveModel
) -> None:
    folder = save_model(tmp_path / "model", 1)
    with keep_engines():
        with start(folder, 1) as engines:
            (actor,) = engines.actors
        ray.kill(actor)
        with start(folder, 1) as engines:
            assert processes(engines) != {actor._actor_id.hex()}
            assert answers(engines)[0].startswith("sha256:")


def test_processes_that_begin_ahead_are_taken_and_those_left_end(
    tmp_path: Path, save_model: SaveModel
) -> None:
    folder = save_model(tmp_path / "model", 1)
    with start(folder, 1) as engines:
        alone = answers(engines)
    with engines_ahead(Serving(num_engines=2)):
        with reuse_spare(2) as begun:
            ids = {actor._actor_id.hex() for actor in begun}
            for actor in begun:
                put_by(actor)
        assert len(ids) == 2
        with start(folder, 1) as engines:
            assert processes(engines) < ids
            assert answers(engines) == alone
    assert not ray.is_initialized()


def test_a_stage_that_fails_before_it_serves_leaves_no_cluster() -> None:
    with pytest.raises(ValueError, match="no such family"), engines_ahead(Serving(num_engines=1)):
        raise ValueError("no such family")
    assert not ray.is_initialized()
