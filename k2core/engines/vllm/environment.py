"""What vLLM reads from the environment when it is imported; so it is set before that, in here."""

import os
import sys

_ALWAYS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives in the actor's own process
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",  # an engine serves a folder; fetching is done before
    "TOKENIZERS_PARALLELISM": "false",
}
_ON_CPU = {
    "OMP_NUM_THREADS": "1",  # contending OpenMP threads collapse; more engines scale instead
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # The CPU's MLA kernels take only kv_lora_rank 512 with a rotary width of 64, without a
    # prefix cache; plain attention over the expanded heads takes any shape.
    "VLLM_MLA_DISABLE": "1",
    # A matrix product is compiled for each number of tokens, 0.7 ms apiece, and again after weights
    # came, since no more than 1,024 are kept: less than an iteration of RL meets.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "20000",
    # A few small functions of the sampler would be compiled by C++ (half a minute, and a compiler).
    "TORCHDYNAMO_DISABLE": "1",
}


def environment(gpu: bool) -> dict[str, str]:
    """Variables of a process that runs an engine; what the user has set already wins."""
    wanted = _ALWAYS if gpu else _ALWAYS | _ON_CPU
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def prepare_environment() -> None:
    """Set this process's variables.

    Raises:
        RuntimeError: vLLM was imported already, so that it would not see them.
    """
    import torch

    wanted = environment(torch.cuda.is_available())
    late = [name for name, value in wanted.items() if os.environ.get(name) != value]
    if late and "vllm" in sys.modules:
        raise RuntimeError(f"vllm was imported before {', '.join(late)} could be set")
    os.environ.update(wanted)
