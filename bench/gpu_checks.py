"""What `bench.gpu` holds against references and peers; each runs on CPU cores too, in small."""

import gc
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from bench.reference import NaiveK2
from k2core.engines.learner import below
from k2core.model.scaling import routed_scaling_factor
from k2core.optim.newton_schulz import orthogonalize_each
from k2core.parallel.work import training_flops
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer


class SkippedError(Exception):
    """A check that cannot be made here; says why."""


class WrongError(AssertionError):
    """A figure beyond its bound."""


@dataclass
class Bench:
    """Sizes, and where the checks run."""

    reference: ModelShape
    """Small enough for float64 on a core."""
    model: ModelShape
    """Whose speed is measured."""
    rows: int
    length: int
    square: int
    """Side of the matrices whose product gives the peak."""
    rounds: int
    folder: Path
    peak: float = 0.0
    """bf16 FLOP/s, once measured."""
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Of the trainers."""
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


Figures = dict[str, float | str]
Check = Callable[[Bench], Figures]


def bf16(**settings: object) -> OptimConfig:
    """As the large recipes have it."""
    precise = {"precision": "bf16", "newton_schulz_precision": "bf16"}
    return OptimConfig.model_validate({"lr": 1e-3} | precise | settings)


@contextmanager
def trainer_of(
    bench: Bench, shape: ModelShape, optim: OptimConfig, **placed: object
) -> "Iterator[Trainer]":
    """A trainer, whose memory goes with it."""
    from k2core.engines.megatron.trainer import Trainer

    values = {"num_ranks": 1, "micro_batch": bench.rows} | placed
    trainer = Trainer(shape, optim, seed=0, placement=Placement.model_validate(values))
    try:
        yield trainer
    finally:
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def batch_of(shape: ModelShape, rows: int, length: int, seed: int = 0) -> "Batch":
    """Rows of two documents each, and padding at the end of the last."""
    from k2core.engines.megatron.batch import PADDING, Batch

    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, shape.vocab_size, (rows, length + 1), generator=generator)
    segments = (torch.arange(length) >= length // 3).long().repeat(rows, 1)
    segments[-1, -length // 8 :] = PADDING
    mask = (segments >= 0).float()
    mask[:, length // 3 - 1] = 0
    return Batch(text[:, :-1].contiguous(), text[:, 1:].contiguous(), mask, segments)


def settle() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], rounds: int) -> float:
    """The fastest of some rounds, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(rounds):
        settle()
        started = time.perf_counter()
        work()
        settle()
        best = min(best, time.perf_counter() - started)
    return best


def right_device(bench: Bench) -> Figures:
    """The trainer lies on the device of its rank, and the device does what it should."""
    with trainer_of(bench, bench.reference, OptimConfig()) as trainer:
        where = {p.device for p in trainer.model.parameters()} | {trainer.device}
        where |= {t.device for t in trainer.optimizer.named_states().values()}
    if where != {bench.device}:
        raise WrongError(f"parameters and states lie on {where}, not on {bench.device}")
    side = bench.square
    left = torch.randn(side, side, device=bench.device, dtype=torch.bfloat16)
    bench.peak = 2 * side**3 / seconds_of(lambda: left @ left, bench.rounds)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"device": name, "torch": torch.__version__, "bf16 TFLOP/s": bench.peak / 1e12}


def _steps_against_float64(bench: Bench, config: OptimConfig) -> tuple["Figures", set[object]]:
    """Four steps, with clips forced: distance of the update, and the heads that were clipped."""
    shape = bench.reference
    with trainer_of(bench, shape, config, micro_batch=3) as trainer:
        start = trainer.export_weights()
        naive = NaiveK2(start, shape, config, routed_scaling_factor(shape))
        clips, largest = set[object](), 0.0
        for seed in range(4):
            batch = batch_of(shape, 5, 24, seed)
            stats = trainer.step(batch, 1e-3)
            mask = batch.loss_mask.double()
            naive.step((batch.tokens, batch.labels, mask, batch.segments), 1e-3)
            clips |= {(seed + 1, event.layer, event.head) for event in stats.clips}
            gap = torch.tensor(stats.max_logits).double() - naive.largest.amax(1)
            largest = max(largest, float(gap.abs().max()))
        end = {n: t.double() for n, t in _masters(trainer).items()}
    way = {n: w.detach() for n, w in naive.weights.items()}
    expected = {clip[:3] for clip in naive.clips}
    moved = sum(float((way[n] - start[n]).square().sum()) for n in end)
    apart = sum(float((way[n] - end[n]).square().sum()) for n in end)
    figures: Figures = {
        "update's distance": (apart / moved) ** 0.5,
        "largest logit's": largest,
        "clips": len(expected),
    }
    return figures, clips ^ expected


def _masters(trainer: "Trainer") -> dict[str, Tensor]:
    """fp32 weights by Hugging Face names, the router's bias left out."""
    return {n: t for n, t in trainer.export_weights().items() if not n.endswith("bias")}


def muonclip_fp32(bench: Bench) -> Figures:
    """Weights after four steps to 1e-3 of their way, the same heads clipped."""
    figures, other = _steps_against_float64(bench, OptimConfig(qk_clip_tau=0.05))
    if other or float(figures["update's distance"]) > 1e-3:
        raise WrongError(f"{figures}; clipped on one side alone: {sorted(map(str, other))}")
    return figures


def muonclip_bf16(bench: Bench) -> Figures:
    """In bf16: a way within 0.05 of float64's, the same heads clipped but for those at tau."""
    figures, other = _steps_against_float64(bench, bf16(qk_clip_tau=0.05))
    if float(figures["update's distance"]) > 0.05 or len(other) > int(figures["clips"]) // 4:
        raise WrongError(f"{figures}; clipped on one side alone: {sorted(map(str, other))}")
    return {**figures, "clipped on one side": len(other)}


def attention(bench: Bench) -> Figures:
    """Our attention in fp32 against bf16's: the fused kernel's, where Transformer Engine is."""
    from k2core.engines.megatron.fused import has_fused_kernel

    batch = batch_of(bench.reference, 4, 48)
    found = []
    for optim in (OptimConfig(), bf16()):
        with trainer_of(bench, bench.reference, optim) as trainer:
            found.append((trainer.logprobs(batch), trainer.step(batch, 0.0).max_logits))
    (exact, logits), (other, others) = found
    gap = float((exact - other).abs().max())
    off = max(abs(a - b) / max(abs(a), 1e-3) for a, b in zip(logits, others, strict=True))
    if gap > 0.5 or off > 0.1:
        raise WrongError(f"log p {gap:.3f} nats apart, largest logits {off:.1%}")
    kernel = "fused" if has_fused_kernel() else "ours (no Transformer Engine)"
    return {"bf16 by": kernel, "log p apart": gap, "largest logits apart": off}


def optimizer_step(bench: Bench) -> Figures:
    """Orthogonalising a layer's experts in bf16, against torch.optim.Muon's own function."""
    from torch.optim._muon import _zeropower_via_newtonschulz

    s = bench.model
    shape = (s.moe_ffn_hidden_size, s.hidden_size)
    generator = torch.Generator(bench.device).manual_seed(0)
    stack = torch.randn(3 * s.num_experts, *shape, generator=generator, device=bench.device)
    drawn = list(stack)

    def ours() -> None:
        for _ in orthogonalize_each(drawn, dtype=torch.bfloat16):
            pass

    def theirs() -> None:
        for matrix in drawn:
            _zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)

    mine, peers = seconds_of(ours, bench.rounds), seconds_of(theirs, bench.rounds)
    small, large = sorted(shape)
    flops = 5 * (4 * small**2 * large + 2 * small**3) * len(drawn)
    return {
        "matrices": f"{len(drawn)} of {shape[0]} x {shape[1]}",
        "ms": 1e3 * mine,
        "torch's ms": 1e3 * peers,
        "of the peak": flops / mine / bench.peak if bench.peak else 0.0,
    }


class Mode(NamedTuple):
    """A way to save activations."""

    name: str
    placed: dict[str, object]
    fp8: bool = False


MODES = (
    Mode("keep all", {}),
    Mode("selective", {"recompute": "selective"}),
    Mode("full", {"recompute": "full"}),
    Mode("offload", {"recompute": "selective", "offload": True}),
    Mode("FP8 storage", {"recompute": "selective"}, fp8=True),
)


def training(mode: Mode) -> Check:
    """Tokens a second, MFU of the measured peak, bytes at the peak; the loss is the others'."""

    def check(bench: Bench) -> Figures:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        batch = batch_of(bench.model, bench.rows, bench.length)
        optim = bf16(fp8_storage=mode.fp8)
        with trainer_of(bench, bench.model, optim, micro_batch=1, **mode.placed) as trainer:
            loss = trainer.step(batch, 1e-4).loss
            seconds = seconds_of(lambda: trainer.step(batch, 1e-4), bench.rounds)
        tokens = bench.rows * bench.length
        speed = tokens / seconds
        flops = training_flops(bench.model, bench.length) * speed
        bench.losses[mode.name] = loss
        if abs(loss - bench.losses.get("keep all", loss)) > (0.05 if mode.fp8 else 1e-3):
            raise WrongError(f"losses differ: {bench.losses}")
        peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
        mfu = flops / bench.peak if bench.peak else 0.0
        return {"tokens/s": speed, "MFU": mfu, "GB at the peak": peak, "first loss": loss}

    return check


def checkpoint(bench: Bench) -> Figures:
    """A state taken up gives the next steps to the bit; weights go out and come in."""
    from k2core.model.digest import checkpoint_digest, tensors_digest

    shape, folder = bench.reference, bench.folder
    batches = [batch_of(shape, 4, 48, seed) for seed in range(4)]
    with trainer_of(bench, shape, bf16()) as trainer:
        for batch in batches[:2]:
            trainer.step(batch, 1e-3)
        trainer.save(below(folder / "state"))
        trainer.export_checkpoint(folder / "weights")
        if checkpoint_digest(folder / "weights") != tensors_digest(trainer.export_weights()):
            raise WrongError("the checkpoint's weights are not the trainer's")
        wanted = [trainer.step(batch, 1e-3).loss for batch in batches[2:]]
    with trainer_of(bench, shape, bf16()) as trainer:
        trainer.load((folder / "state").joinpath)
        found = [trainer.step(batch, 1e-3).loss for batch in batches[2:]]
    if found != wanted:
        raise WrongError(f"losses after resuming {found}, before {wanted}")
    size = sum(path.stat().st_size for path in (folder / "state").iterdir())
    return {"state MB": size / 1e6, "losses": "equal to the bit"}


def engine(bench: Bench) -> Figures:
    """An engine takes the trainer's checkpoint; log p of both within 0.5 nats, in bf16."""
    if importlib.util.find_spec("vllm") is None:
        raise SkippedError("vLLM is not installed")
    if not torch.cuda.is_available():
        raise SkippedError("on CPU cores tests/k2core/engines/vllm does it")
    from k2core.engines.ray import serve
    from k2core.model.hf import describe_checkpoint
    from schemas.placement import Serving

    shape, folder = bench.model, bench.folder / "served"
    batch = batch_of(shape, 2, 128)
    with trainer_of(bench, shape, bf16()) as trainer:
        trainer.export_checkpoint(folder)
        expected = trainer.logprobs(batch)[0]
    describe_checkpoint(folder, shape, folder, {})
    first = batch.tokens[0, : 128 // 3].tolist()
    one = Serving(num_engines=1, memory_frac=0.3)
    with serve(folder, one, max_model_len=256, max_num_seqs=8) as engines:
        found = torch.tensor(engines.score([first])[0])
    gap = float((found - expected[: len(found)]).abs().max())
    if gap > 0.5:
        raise WrongError(f"log p {gap:.3f} nats apart")
    return {"log p apart": gap}
