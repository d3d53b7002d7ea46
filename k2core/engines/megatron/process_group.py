"""Joining the ranks of one training run: by torchrun's environment, or alone in this process."""

import os

import torch
import torch.distributed as dist

from megatron.core import parallel_state


def join_ranks() -> None:
    """Join the process group that the environment describes, unless joined already.

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
    if not parallel_state.model_parallel_is_initialized():
        parallel_state.initialize_model_parallel()
