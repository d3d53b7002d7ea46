"""What an engine is told, field by field, and what Ray grants it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from k2core.engines.ray.resources import Accelerators, Grant, actor_options, grant
from k2core.engines.vllm.arguments import Devices, EngineLimits, engine_arguments
from schemas.placement import Serving

ALWAYS: dict[str, object] = {
    "model": "/m",
    "max_model_len": 512,
    "max_num_seqs": 8,
    "enable_prefix_caching": True,
    "load_format": "dummy",
    "worker_extension_cls": "k2core.engines.vllm.worker.WeightUpdates",
    "skip_tokenizer_init": True,
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
    "logprobs_mode": "processed_logprobs",
    "seed": 0,
}
ON_CPU = {
    "enforce_eager": True,
    "compilation_config": {"custom_ops": ["-rotary_embedding"]},
    "enable_chunked_prefill": False,
    "block_size": 32,
    "weight_transfer_config": {"backend": "k2_gloo"},
}


class Case(NamedTuple):
    serving: Serving
    devices: Devices
    said: dict[str, object]


def layout(tp: int = 1, pp: int = 1, *, experts: bool = False, dtype: str) -> dict[str, object]:
    return {
        "tensor_parallel_size": tp,
        "pipeline_parallel_size": pp,
        "enable_expert_parallel": experts,
        "dtype": dtype,
    }


CASES = {
    "a core": Case(Serving(), Devices(gpu=False), layout(dtype="float32") | ON_CPU),
    "two cores": Case(
        Serving(tp=2, dtype="bfloat16"),
        Devices(gpu=False),
        layout(2, dtype="bfloat16") | ON_CPU | {"distributed_executor_backend": "mp"},
    ),
    "a GPU of its own": Case(
        Serving(memory_frac=0.8),
        Devices(gpu=True),
        layout(dtype="bfloat16")
        | {
            "gpu_memory_utilization": 0.8,
            "enable_sleep_mode": False,
            "weight_transfer_config": {"backend": "k2_nccl"},
        },
    ),
    "the trainer's GPU": Case(
        Serving(dtype="float32", sleep=True),
        Devices(gpu=True),
        layout(dtype="float32")
        | {
            "gpu_memory_utilization": 0.9,
            "enable_sleep_mode": True,
            "weight_transfer_config": {"backend": "k2_ipc"},
        },
    ),
    "two nodes": Case(
        Serving(tp=8, pp=2, expert_parallel=True),
        Devices(gpu=True, one_node=False),
        layout(8, 2, experts=True, dtype="bfloat16")
        | {
            "distributed_executor_backend": "ray",
            "gpu_memory_utilization": 0.9,
            "enable_sleep_mode": False,
            "weight_transfer_config": {"backend": "k2_nccl"},
        },
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_engine_is_told_all_of_its_placement(case: Case) -> None:
    found = engine_arguments(Path("/m"), case.serving, EngineLimits(512, 8), case.devices)
    assert found == ALWAYS | case.said


def test_blocks_are_small_where_they_are_shared() -> None:
    alone = EngineLimits(512, 8, prefix_caching=False)
    found = engine_arguments(Path("/m"), Serving(), alone, Devices(gpu=False))
    assert "block_size" not in found


def test_experts_are_not_shared_on_cores() -> None:
    shared = Serving(tp=2, expert_parallel=True)
    with pytest.raises(ValueError, match="expert_parallel needs GPUs"):
        engine_arguments(Path("/m"), shared, EngineLimits(512, 8), Devices(gpu=False))


def test_engines_get_gpus_in_one_machine_or_over_several() -> None:
    wide = Serving(num_engines=2, tp=8, pp=2)
    assert grant(wide, Accelerators(0, 0)) == Grant(gpu=False, one_node=True)
    assert grant(wide, Accelerators(32, 8)) == Grant(gpu=True, one_node=False)
    assert grant(Serving(tp=8), Accelerators(32, 8)) == Grant(gpu=True, one_node=True)
    with pytest.raises(RuntimeError, match="2 engines of 16 GPUs need 32"):
        grant(wide, Accelerators(16, 8))


def test_an_actor_holds_what_its_engine_uses_unless_the_workers_hold_it() -> None:
    alone = actor_options(Serving(tp=4), Grant(gpu=True, one_node=True))
    assert (alone["num_cpus"], alone["num_gpus"]) == (4, 4)
    apart = actor_options(Serving(tp=8, pp=2), Grant(gpu=True, one_node=False))
    assert (apart["num_cpus"], apart["num_gpus"]) == (1, 0)
    cores = actor_options(Serving(tp=2), Grant(gpu=False, one_node=True))
    assert (cores["num_cpus"], cores["num_gpus"]) == (2, 0)
