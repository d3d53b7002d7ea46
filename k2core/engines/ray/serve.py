"""Several vLLM engines behind one `Engine`: prompts are split over them, weights sent once."""

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from k2core.engines.deal import deal_dialogues
from k2core.engines.learner import Peer, Weights
from k2core.engines.protocol import Arrival, Ask, Completion, Decoding, Model, find_folder
from k2core.engines.ray.actor import start_actor
from k2core.engines.ray.actors import ActorGroup
from k2core.engines.ray.resources import Grant, actor_options, grant, group_of, see_cluster
from k2core.engines.ray.room import room_for
from k2core.engines.ray.senders import WireCourier, send_share
from k2core.engines.ray.spare import leave_spare, reuse_spare
from k2core.engines.ray.talk import ServedTalk
from k2core.engines.vllm.arguments import EngineLimits, arithmetic_of, transfer_of
from k2core.model.digest import Receipt, as_served, served_dtype
from k2core.model.shards import CheckpointReader
from k2core.model.tensors import check_shapes
from schemas.placement import Serving

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle
    from ray.util.placement_group import PlacementGroup

    from k2core.engines.vllm.couriers import IpcCourier
    from k2core.engines.vllm.transfer import Kept

_MOST_LOST = 3
"""Engines that are replaced; one more is no accident."""
_START_S = 900.0
"""The longest that another engine may take to stand in its place."""


class EngineLostError(RuntimeError):
    """An engine died and none can take its place; says why."""


class ServedEngines(ActorGroup):
    """Engines in Ray actors; a streaming and talking engine that a trainer updates.

    One that dies on CPU cores is replaced, by one with the same weights. For vLLM's trainer engines
    they are one `VLLMWeightSyncClient`.

    Args:
        model: weights in the Hugging Face layout.
        serving: how many engines, and how each serves them.
        limits: lengths and batch of an engine.

    Raises:
        RuntimeError: they serve different weights, or there are too few GPUs.
    """

    kind = "engines"

    def __init__(self, model: Model, serving: Serving, limits: EngineLimits) -> None:
        self._model, self._serving, self._limits = model, serving, limits
        self._groups = list["PlacementGroup"]()
        self._lost, self._lock = 0, threading.Lock()
        self._restore: Callable[[ActorHandle], str] | None = None
        """Gives an engine that serves the model what the others serve; None if nothing can."""
        self._shapes = CheckpointReader(find_folder(model)).shapes
        self._received: list[str] = []
        """The engines' receipts of a round."""
        self._asleep = False
        self._courier: WireCourier | IpcCourier | None = None
        with reuse_spare(serving.num_engines if serving.devices == 1 else 0) as spare:
            launch = partial(self._launch, spare)
            count = serving.num_engines * serving.devices
            super().__init__(count, launch, "open", model, serving, limits)
        try:
            self._weights = _agreed(self.hellos)
            self._restore = _as_opened
        except BaseException:
            self.close()
            raise

    @property
    def weights(self) -> str:
        """Digest of the weights that all engines serve.

        Raises:
            RuntimeError: a round of weights broke off: they are neither the old ones nor the new.
        """
        if not self._weights:
            raise RuntimeError("the engines have a part of the trainer's last weights")
        return self._weights

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> list[Completion]:
        """Continue each prompt; neighbours go to the same engine, where they share a prefix."""
        parts = self._deal(len(prompts))
        answers = [a.generate.remote(prompts[p], sampling[p]) for a, p in parts]
        return [completion for part in ray.get(answers) for completion in part]

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
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

    def converse(self, first: Sequence[Ask], most_tokens: int | None = None) -> ServedTalk:
        """Dialogues without a barrier; each stays with its engine."""
        num = len(self.actors)
        share = None if most_tokens is None else -(-most_tokens // num)
        return ServedTalk(self, deal_dialogues(first, num), share)

    def replace(self, place: int, error: Exception) -> None:
        """Start another engine in place of one that died, with the weights that all serve.

        Raises:
            EngineLostError: too many died, they are on GPUs, or it does not start.
        """
        warnings.warn(f"an engine is replaced, which was lost by: {error}", stacklevel=2)
        with self._lock:
            actor = self._start_in(place, error)
            if self._restore is None:
                raise EngineLostError(f"an engine died while weights came: {error}") from error
            served = self._restore(actor)
            if served != self._weights:
                raise EngineLostError(f"a new engine serves {served}, not {self._weights}")

    def _start_in(self, place: int, error: Exception) -> "ActorHandle":
        """An engine that serves the model as it was given."""
        self._lost += 1
        if self._lost > _MOST_LOST:
            raise EngineLostError(f"{self._lost} engines died, the last by: {error}") from error
        if self._granted.gpu:
            raise EngineLostError(
                f"an engine died, and those on GPUs are not replaced: {error}; the same command "
                "again goes on after the last whole iteration"
            ) from error
        self._close_courier()  # whose engines were others
        ray.kill(self._actors[place])
        actor = self._start_actor(place)
        self._actors = (*self._actors[:place], actor, *self._actors[place + 1 :])
        opened = actor.open.remote(self._model, self._serving, self._limits)
        try:
            ray.get(opened, timeout=_START_S)
        except ray.exceptions.RayError as late:
            raise EngineLostError(
                f"an engine died ({error}), and none started within {_START_S:g} s: {late}"
            ) from late
        return actor

    def _heal(self) -> None:
        """Replace those that died since; whatever is served comes after this."""
        self._restore = None
        for place, pulse in enumerate([actor.pulse.remote() for actor in self.actors]):
            try:
                ray.get(pulse, timeout=_START_S)
            except ray.exceptions.RayError as error:
                self._start_in(place, error)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log p of every token but the first, given those before it."""
        answers = [a.score.remote(sequences[p]) for a, p in self._deal(len(sequences))]
        return [logprobs for part in ray.get(answers) for logprobs in part]

    def load(self, model: Model) -> str:
        """Serve a checkpoint of the same shape, which every worker reads; returns its digest."""
        self._heal()
        self._weights = _agreed(self.ask_all("load", model))
        self._restore = partial(_load, model)
        return self._weights

    @property
    def peer(self) -> Peer:
        """What the trainer's other ranks do while its first one sends."""
        if self._lent:
            from k2core.engines.vllm.couriers import lend_weights

            return partial(lend_weights, self._arithmetic)
        return partial(send_share, self._arithmetic)

    def receive_weights(self, weights: Weights) -> str:
        """Serve a trainer's weights, in the engines' arithmetic.

        On CPU cores they stay in the object store until the next weights come: for an engine that
        takes another's place.

        Returns:
            The digest of what was sent.

        Raises:
            ValueError: a tensor lacks, is unknown or has another shape.
            WireError: a tensor did not arrive; names it and the rank that owns it.
            RuntimeError: an engine was given something else.
        """
        check_shapes(weights.shapes, self._shapes, "the trainer", "the served model")
        self._heal()
        self._wake("weights")
        self._weights, self._received = "", []
        try:
            sent = self._send(weights)
        except BaseException:
            self._close_courier()
            raise
        self._wake("kv_cache")
        self._asleep = False
        if missing := sent.lacking(self._shapes):
            raise ValueError(f"{len(missing)} tensors have not come, e.g. {missing[0]}")
        if set(self._received) != {sent.digest}:
            raise RuntimeError(_explain(sent, self.ask_all("noted")))
        self._weights = sent.digest
        if not self._granted.gpu:
            self._restore = partial(_send_again, self.actors[0].give_kept.remote())
        return sent.digest

    def sleep(self) -> None:
        """Give the GPUs to the trainer until weights come, if they are the trainer's."""
        if self._serving.sleep and self._granted.gpu:
            self.ask_all("sleep")
            self._asleep = True

    def init_weight_transfer_engine(self, init_info: dict[str, object]) -> None:
        """As vLLM's client."""
        self.ask_all("init_weight_transfer_engine", init_info)

    def start_weight_update(self) -> None:
        """As vLLM's client."""
        self.ask_all("start_weight_update")

    def update_weights(self, update_info: dict[str, object]) -> None:
        """As vLLM's client."""
        self.ask_all("update_weights", update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """As vLLM's client; what they have received is to be compared with what was sent."""
        self._received = self.ask_all("finish_weight_update", weight_version)

    def close(self) -> None:
        """End the engines, and give back their room."""
        self._close_courier()
        for group in self._groups:
            ray.util.remove_placement_group(group)
        self._groups = []
        super().close()

    @property
    def _arithmetic(self) -> str:
        return arithmetic_of(self._serving, gpu=self._granted.gpu)

    @property
    def _lent(self) -> bool:
        """Weights stay on the GPUs that engines share with the trainer."""
        return transfer_of(self._serving, gpu=self._granted.gpu) == "k2_ipc"

    def _send(self, weights: Weights) -> Receipt:
        if self._lent:
            return self._lend(weights)
        if not isinstance(self._courier, WireCourier):
            size, gpu = self._serving.devices, self._granted.gpu
            self._courier = WireCourier(self.actors, size, self._arithmetic, gpu=gpu)
        self.start_weight_update()
        sent = self._courier.send(weights)
        self.finish_weight_update()
        return sent

    def _lend(self, weights: Weights) -> Receipt:
        import torch

        from k2core.engines.vllm.couriers import IpcCourier, stream_source

        dtype, sent = getattr(torch, self._arithmetic), Receipt()
        if not isinstance(self._courier, IpcCourier):
            dtypes = {name: served_dtype(name, dtype) for name in weights.shapes}
            self._courier = IpcCourier(self, stream_source(weights.shapes, dtypes), 0)
        self._courier.send(sent.note(as_served(weights.everywhere(), dtype)))
        return sent

    def _close_courier(self) -> None:
        if self._courier is not None:
            self._courier.close()
            self._courier = None

    def _wake(self, tag: str) -> None:
        if self._asleep:
            self.ask_all("wake_up", tag)

    def _launch(self, spare: "list[ActorHandle]") -> "list[ActorHandle]":
        self._room = room_for(self._serving)
        granted = self._room and self._room.bundles.granted
        self._granted: Grant = granted or grant(self._serving, see_cluster())
        missing = range(len(spare), self._serving.num_engines)
        return spare + [self._start_actor(place) for place in missing]

    def _start_actor(self, place: int) -> "ActorHandle":
        if self._room is not None:
            options = self._room.engine_options(place)
        else:
            options = actor_options(self._serving, self._granted)
            if not self._granted.one_node:
                self._groups.append(group := group_of(self._serving))
                options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
                )
        return start_actor(options, one_node=self._granted.one_node)

    def _end(self, actor: "ActorHandle") -> None:
        if self._serving.devices > 1 or not leave_spare(actor):
            super()._end(actor)

    def _deal(self, count: int) -> "list[tuple[ActorHandle, slice]]":
        """Contiguous parts of `count` prompts, as even as possible; no actor gets an empty one."""
        num = len(self.actors)
        ends = [count * (index + 1) // num for index in range(num)]
        parts = map(slice, [0, *ends], ends)
        pairs = zip(self.actors, parts, strict=True)
        return [(actor, part) for actor, part in pairs if part.start < part.stop]


def _as_opened(actor: "ActorHandle") -> str:
    return str(ray.get(actor.served.remote(), timeout=_START_S))


def _load(model: Model, actor: "ActorHandle") -> str:
    return str(ray.get(actor.load.remote(model), timeout=_START_S))


def _send_again(kept: "ObjectRef[list[Kept]]", actor: "ActorHandle") -> str:
    ray.get(actor.take_again.remote(kept), timeout=_START_S)
    return _as_opened(actor)


def _explain(sent: Receipt, noted: list[list[Receipt]]) -> str:
    """Which engine has which tensor otherwise."""
    for engine, receipts in enumerate(noted):
        for worker, receipt in enumerate(receipts):
            if names := sent.differing(receipt):
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                return f"worker {worker} of engine {engine} was given another {names[0]}{more}"
    return "engines serve other weights than they were given"


def _agreed(digests: list[str]) -> str:
    if len(set(digests)) != 1:
        raise RuntimeError(f"engines serve different weights: {', '.join(digests)}")
    return digests[0]


def serve(
    model: Model,
    serving: Serving,
    *,
    max_model_len: int,
    max_num_seqs: int,
    prefix_caching: bool = True,
) -> ServedEngines:
    """Serve a model in the Hugging Face layout by vLLM engines in Ray actors.

    Args:
        model: weights, config.json, tokenizer files; where nodes have disks of their own, how each
            gets them.
        serving: engines, and the devices and arithmetic of each.
        max_model_len: longest prompt with its continuation, in tokens.
        max_num_seqs: sequences in flight together, an engine.
        prefix_caching: compute a shared beginning once; off, a result depends on its own batch
            alone and not on what was asked before.
    """
    return ServedEngines(model, serving, EngineLimits(max_model_len, max_num_seqs, prefix_caching))
