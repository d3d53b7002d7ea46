"""What an engine is told: a function of the placement, the lengths and the devices that it has."""

from pathlib import Path
from typing import Literal, NamedTuple

from schemas.placement import Serving

Arithmetic = Literal["float32", "bfloat16"]
Transfer = Literal["k2_gloo", "k2_nccl", "k2_ipc"]
"""How weights come from a trainer: from its ranks' CPU cores, from their GPUs, or within a GPU."""

EXTENSION = "k2core.engines.vllm.worker.WeightUpdates"
GRAMMARS: dict[str, object] = {
    "backend": "guidance",  # the one that tells a special token from text that spells it
    "disable_any_whitespace": True,  # a small model writes white space to the limit otherwise
}
ON_CPU: dict[str, object] = {
    "enforce_eager": True,  # compiling takes longer than it saves here
    # W2: the CPU's own rotary operator is wrong for interleaved multi-head queries (1-8 nats off).
    "compilation_config": {"custom_ops": ["-rotary_embedding"]},
    # W6: a seeded request whose prompt is split over two batches stops the engine: its random
    # generator is rewound, which those of the CPU cannot be. So prompts are not split.
    "enable_chunked_prefill": False,
}
_BLOCK_ON_CPU = 32
"""Tokens. Whole blocks alone are shared, and vLLM's default on CPU cores, 128, is more than most
prompts of small models have; it takes multiples of 32."""


class EngineLimits(NamedTuple):
    """What an engine has to hold."""

    max_model_len: int
    """Longest prompt with its continuation, in tokens."""
    max_num_seqs: int
    """Sequences in flight together."""
    prefix_caching: bool = True
    """Compute a shared beginning once. Off: a batch's result does not depend on earlier ones."""


class Devices(NamedTuple):
    """What an engine runs on."""

    gpu: bool
    one_node: bool = True
    """All of the engine's devices are in one machine."""


def arithmetic_of(serving: Serving, *, gpu: bool) -> Arithmetic:
    """What the engine computes in."""
    return serving.dtype or ("bfloat16" if gpu else "float32")


def transfer_of(serving: Serving, *, gpu: bool) -> Transfer:
    """How its weights come."""
    if not gpu:
        return "k2_gloo"
    return "k2_ipc" if serving.sleep else "k2_nccl"


def engine_arguments(
    folder: Path, serving: Serving, limits: EngineLimits, devices: Devices
) -> dict[str, object]:
    """Keyword arguments of `vllm.LLM`.

    The engine starts with weights that mean nothing, and is then given those that it serves: from
    a folder or a trainer, on one way and with one receipt.

    Raises:
        ValueError: experts are to be shared whole on CPU cores: the CPU's kernel takes no map of
            experts, and the worker dies at the first token.
    """
    gpu = devices.gpu
    if serving.expert_parallel and not gpu:
        raise ValueError(
            "placement.serving.expert_parallel needs GPUs; tp alone works on CPU cores"
        )
    arguments: dict[str, object] = {
        "model": str(folder),
        "max_model_len": limits.max_model_len,
        "max_num_seqs": limits.max_num_seqs,
        "enable_prefix_caching": limits.prefix_caching,
        "dtype": arithmetic_of(serving, gpu=gpu),
        "load_format": "dummy",
        "tensor_parallel_size": serving.tp,
        "pipeline_parallel_size": serving.pp,
        "enable_expert_parallel": serving.expert_parallel,
        "worker_extension_cls": EXTENSION,
        "weight_transfer_config": {"backend": transfer_of(serving, gpu=gpu)},
        # Tokens in, tokens out; only a grammar needs to know what they spell.
        "skip_tokenizer_init": not (folder / "tokenizer.json").exists(),
        "structured_outputs_config": GRAMMARS,
        "logprobs_mode": "processed_logprobs",  # of what was sampled from
        "seed": 0,
    }
    if serving.devices > 1:
        arguments["distributed_executor_backend"] = "mp" if devices.one_node else "ray"
    if not gpu:
        shared = {"block_size": _BLOCK_ON_CPU} if limits.prefix_caching else {}
        return arguments | ON_CPU | shared
    return arguments | {
        "gpu_memory_utilization": serving.memory_frac,
        "enable_sleep_mode": serving.sleep,
    }
