"""The ranks of one training run as Megatron's parallel groups."""

from megatron.core import parallel_state

from k2core.engines.torchrun.group import Ranks, join_group
from schemas.placement import Placement


def join_ranks(placement: Placement) -> Ranks:
    """Join the ranks that the environment describes, unless joined, in this layout.

    Raises:
        ValueError: the launcher started another number of processes than the placement has ranks.
    """
    ranks = join_group(placement)
    if parallel_state.model_parallel_is_initialized():
        if _sizes() == (placement.tp, placement.cp, placement.pp, placement.ep):
            return ranks
        parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=placement.tp,
        context_parallel_size=placement.cp,
        pipeline_model_parallel_size=placement.pp,
        expert_model_parallel_size=placement.ep,
        expert_tensor_parallel_size=1,
        create_gloo_process_groups=False,
        distributed_timeout_minutes=placement.timeout_s / 60,
    )
    return ranks


def _sizes() -> tuple[int, int, int, int]:
    return (
        parallel_state.get_tensor_model_parallel_world_size(),
        parallel_state.get_context_parallel_world_size(),
        parallel_state.get_pipeline_model_parallel_world_size(),
        parallel_state.get_expert_model_parallel_world_size(),
    )
