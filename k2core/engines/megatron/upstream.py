"""Fixes of megatron-core 0.16.1, each applied to one module right after its import.

They matter where Transformer Engine is missing and are no-ops elsewhere. What can be put right in
the layer spec is put right there instead (`spec.py`, `attention.py`, `experts.py`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Module = Any
"""One of Megatron's, whose names are replaced."""


def compile_nothing(jit: Module) -> None:
    """`jit_fuser` must not compile.

    With torch.compile small functions cost seconds of start-up and need a C++ compiler, and gain
    nothing at small shapes. Decorators bind at import, hence before all else.
    """
    jit.disable_jit_fuser()


def judge_transformer_engine(mla: Module) -> None:
    """Without TE, `TELinear` is no class while HAVE_TE is True: `isinstance(x, TELinear)` fails."""
    mla.HAVE_TE = isinstance(mla.TELinear, type)


def mend_routing(moe_utils: Module) -> None:
    """Two faults of one module.

    `te_general_gemm` is imported only with TE, and read without asking. Groups are chosen by the
    sum of their best topk / group_topk scores; DeepSeek-V3's, and every other reader's, by two.
    """
    if not hasattr(moe_utils, "te_general_gemm"):
        moe_utils.te_general_gemm = None
    moe_utils.group_limited_topk = choose_in_groups


def choose_in_groups(
    scores: Tensor, topk: int, num_tokens: int, num_experts: int, num_groups: int, group_topk: int
) -> tuple[Tensor, Tensor]:
    """The best experts of the groups whose best two sum highest (arXiv:2412.19437, section 2.1.2).

    Returns:
        Scores and experts [t, topk].
    """
    grouped = scores.view(num_tokens, num_groups, num_experts // num_groups)  # t g e
    best = grouped.topk(2, -1).values.sum(-1).topk(group_topk, -1).indices
    masked = torch.full_like(grouped, float("-inf"))
    places = best.unsqueeze(-1).expand(-1, -1, grouped.size(-1))
    masked.scatter_(1, places, grouped.gather(1, places))
    found = masked.flatten(1).topk(topk, -1)
    return found.values, found.indices


def list_splits(dispatcher: Module) -> None:
    """The all-to-all dispatcher turns splits into numbers only on a GPU; gloo wants numbers."""
    upstream = dispatcher.maybe_move_tensor_to_cpu

    def move(tensor: object, as_numpy: bool = False, record_stream: bool = False) -> object:
        if as_numpy and isinstance(tensor, Tensor) and not tensor.is_cuda:
            return tensor.tolist()
        return upstream(tensor, as_numpy, record_stream)

    dispatcher.maybe_move_tensor_to_cpu = move


def ask_for_no_fp8(random: Module) -> None:
    """`CheckpointWithoutOutput` takes its own default, fp8=False, for a recipe that needs TE."""
    if random.HAVE_TE:
        return
    upstream = random.CheckpointWithoutOutput.__init__

    def start(self: object, fp8: object = None) -> None:
        upstream(self, fp8 or None)

    random.CheckpointWithoutOutput.__init__ = start


def know_our_block(layer: Module) -> None:
    """Our dense block (`lean.py`) is an MLP, but any other class than that is warned of."""
    layer.logger.addFilter(lambda record: not record.getMessage().startswith("Unknown MLP type"))


FIXES: dict[str, Callable[[Module], None]] = {
    "megatron.core.jit": compile_nothing,
    "megatron.core.tensor_parallel.random": ask_for_no_fp8,
    "megatron.core.transformer.multi_latent_attention": judge_transformer_engine,
    "megatron.core.transformer.transformer_layer": know_our_block,
    "megatron.core.transformer.moe.moe_utils": mend_routing,
    "megatron.core.transformer.moe.token_dispatcher": list_splits,
}
"""Module -> what is done to it."""
