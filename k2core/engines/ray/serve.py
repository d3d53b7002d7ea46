"""Several vLLM engines behind one `Engine`: prompts are split over them, weights sent once."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ray

from k2core.engines.protocol import Arrival, Completion, Sampling
from k2core.engines.ray.actor import EngineActor
from k2core.engines.ray.actors import ActorGroup, python_path
from k2core.engines.ray.spare import leave_spare, reuse_spare
from k2core.engines.vllm.engine import Serving
from k2core.engines.vllm.environment import environment

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from torch import Tensor


class ServedEngines(ActorGroup):
    """Engines in Ray actors, one a core or GPU; a `k2core.engines.protocol.StreamingEngine`.

    Args:
        folder: weights in the Hugging Face layout; on a cluster, on a disk that all nodes see.
        serving: how each engine serves them.
        num_engines: how many.

    Raises:
        RuntimeError: they serve different weights.
    """

    kind = "engines"

    def __init__(self, folder: Path, serving: Serving, num_engines: int) -> None:
        with reuse_spare(num_engines) as spare:
            launch = partial(_start_actors, spare, num_engines)
            super().__init__(num_engines, launch, "open", folder, serving)
        try:
            self._weights = _agreed(self.hellos)
        except BaseException:
            self.close()
            raise

    @property
    def weights(self) -> str:
        """Digest of the weights that all engines serve."""
        return self._weights

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> list[Completion]:
        """Continue each prompt; neighbours go to the same engine, where they share a prefix."""
        parts = self._deal(len(prompts))
        answers = [a.generate.remote(prompts[p], sampling[p]) for a, p in parts]
        return [completion for part in ray.get(answers) for completion in part]

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> Iterator[Arrival]:
        """Continue all prompts, dealt out as by `generate`; yields each when it is finished."""
        firsts = {
            actor.stream.options(num_returns="streaming").remote(prompts[part], sampling[part]): (
                part.start
            )
            for actor, part in self._deal(len(prompts))
        }
        while firsts:
            (waiting, *_), _ = ray.wait(list(firsts), num_returns=1, fetch_local=False)
            try:
                arrival: Arrival = ray.get(next(waiting))
            except StopIteration:
                del firsts[waiting]
            else:
                yield Arrival(firsts[waiting] + arrival.place, arrival.completion)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log p of every token but the first, given those before it."""
        answers = [a.score.remote(sequences[p]) for a, p in self._deal(len(sequences))]
        return [logprobs for part in ray.get(answers) for logprobs in part]

    def update_weights(self, tensors: Mapping[str, "Tensor"]) -> str:
        """Serve these weights; they pass once through the object store, whatever the number."""
        shared = ray.put(dict(tensors))
        self._weights = _agreed(self.ask_all("update_weights", shared))
        return self._weights

    def _end(self, actor: "ActorHandle") -> None:
        if not leave_spare(actor):
            super()._end(actor)

    def _deal(self, count: int) -> "list[tuple[ActorHandle, slice]]":
        """Contiguous parts of `count` prompts, as even as possible; no actor gets an empty one."""
        num = len(self.actors)
        ends = [count * (index + 1) // num for index in range(num)]
        parts = map(slice, [0, *ends], ends)
        pairs = zip(self.actors, parts, strict=True)
        return [(actor, part) for actor, part in pairs if part.start < part.stop]


def engine_options(num_engines: int) -> dict[str, object]:
    """What Ray gives each engine's process: a core, and a GPU if there are enough for all."""
    gpu = ray.cluster_resources().get("GPU", 0) >= num_engines
    variables = environment(gpu) | {"PYTHONPATH": python_path()}
    return {"num_cpus": 1, "num_gpus": int(gpu), "runtime_env": {"env_vars": variables}}


def _start_actors(spare: "list[ActorHandle]", num_engines: int) -> "list[ActorHandle]":
    actor = ray.remote(EngineActor).options(**engine_options(num_engines))
    return spare + [actor.remote() for _ in range(num_engines - len(spare))]


def _agreed(digests: list[str]) -> str:
    if len(set(digests)) != 1:
        raise RuntimeError(f"engines serve different weights: {', '.join(digests)}")
    return digests[0]


def serve(
    folder: Path,
    *,
    num_engines: int,
    max_model_len: int,
    max_num_seqs: int,
    dtype: str = "float32",
    prefix_caching: bool = True,
) -> ServedEngines:
    """Serve a folder in the Hugging Face layout by `num_engines` vLLM engines in Ray actors.

    Args:
        folder: weights, config.json, tokenizer files.
        num_engines: engines, one core (or GPU) each.
        max_model_len: longest prompt with its continuation, in tokens.
        max_num_seqs: sequences in flight together, an engine.
        dtype: arithmetic.
        prefix_caching: compute a shared beginning once; off, a result depends on its own batch
            alone and not on what was asked before.
    """
    serving = Serving(max_model_len, max_num_seqs, dtype, prefix_caching)
    return ServedEngines(folder, serving, num_engines)
