"""Joining the ranks of one training run: by torchrun's environment, or alone in this process."""

import os

import torch
import torch.distributed as dist
from megatron.core import parallel_state

from schemas.placement import Placement


def join_ranks(placement: Placement) -> None:
    """Join the process group that the environment describes, unless joined, in this layout.

    Under torchrun, and in the children of `TrainerGroup`, RANK and WORLD_SIZE are set; without
    them this process is the only rank. `K2_RENDEZVOUS` (a `file://` address) replaces the
    environment's MASTER_ADDR where all ranks share a machine: no port to collide on.
    """
    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if "WORLD_SIZE" in os.environ:
            rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            address = os.environ.get("K2_RENDEZVOUS", "env://")
            dist.init_process_group(backend, address, rank=rank, world_size=world_size)
        else:
            alone = torch._C._distributed_c10d.HashStore()
            dist.init_process_group(backend, store=alone, rank=0, world_size=1)
    if dist.get_world_size() != placement.num_ranks:
        raise ValueError(
            f"{dist.get_world_size()} processes joined and placement.num_ranks="
            f"{placement.num_ranks}: make them equal"
        )
    if parallel_state.model_parallel_is_initialized():
        if _sizes() == (placement.tp, placement.cp, placement.pp, placement.ep):
            return
        parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=placement.tp,
        context_parallel_size=placement.cp,
        pipeline_model_parallel_size=placement.pp,
        expert_model_parallel_size=placement.ep,
        expert_tensor_parallel_size=1,
        create_gloo_process_groups=False,
    )


def _sizes() -> tuple[int, int, int, int]:
    return (
        parallel_state.get_tensor_model_parallel_world_size(),
        parallel_state.get_context_parallel_world_size(),
        parallel_state.get_pipeline_model_parallel_world_size(),
        parallel_state.get_expert_model_parallel_world_size(),
    )
