"""Training on CPU with one rule of the CUDA rewriter switched off, a forked process each.

`python without_rule.py RULE...` prints a line `RULE: what happened`; the rule "none" switches
nothing off. Megatron is imported anew in each, since its source is what the rules rewrite.
"""

import ast
import os
import sys
import traceback
import types

import torch
from torch import Tensor

from k2core.engines.megatron import shim
from k2core.engines.megatron.shim import CudaRewriter
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement

SHAPE = ModelShape(num_layers=2, hidden_size=16, num_heads=1, vocab_size=300, num_experts=2)


def switch_off(rule: str) -> None:
    """The named part of the rewriter does nothing, to sources that it has not rewritten before."""
    setattr(shim, "_REWRITTEN", f".{os.getpid()}.pyc")  # noqa: B010, a name that is kept nowhere
    sys.dont_write_bytecode = True
    if rule.startswith("visit_"):
        setattr(CudaRewriter, rule, lambda self, node: self.generic_visit(node))
    elif rule == "device=":
        setattr(shim, "_DEVICE_ARGUMENTS", ())  # noqa: B010, a tuple of another length
    elif rule in (".cuda(", "pin_memory="):
        upstream = CudaRewriter.visit_Call

        def visit(self: CudaRewriter, node: ast.Call) -> ast.AST:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            pinned = any(keyword.arg == "pin_memory" for keyword in node.keywords)
            if (called == "cuda") if rule == ".cuda(" else pinned:
                self.generic_visit(node)
                return node
            return upstream(self, node)

        CudaRewriter.visit_Call = visit  # type: ignore[method-assign]
    elif rule != "none":
        raise ValueError(f"no rule {rule!r}")


def train() -> None:
    """A step, and what recomputation and ranks of a context-parallel group call besides."""
    from megatron.core.models.common.embeddings.rope_utils import get_pos_emb_on_this_cp_rank
    from megatron.core.tensor_parallel import random

    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer

    trainer = Trainer(SHAPE, OptimConfig(), seed=0, placement=Placement(num_ranks=1))
    tokens = torch.arange(32).view(2, 16)
    batch = Batch(tokens, tokens, torch.ones(2, 16), torch.zeros_like(tokens))
    trainer.step(batch, 1e-3)
    group = types.SimpleNamespace(size=lambda: 2, rank=lambda: 1)
    state = torch.get_rng_state()
    drawn = torch.rand(4)
    random._set_cuda_rng_state(state)  # what recomputation calls before it repeats a layer
    if not torch.equal(torch.rand(4), drawn):
        raise AssertionError("random numbers are not restored")
    found: Tensor = get_pos_emb_on_this_cp_rank(torch.arange(8.0), 0, group)
    if found.tolist() != [2.0, 3.0, 4.0, 5.0]:
        raise AssertionError(found)


def main(rules: list[str]) -> None:
    """Each in a child of its own, one after another."""
    for rule in rules:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        switch_off(rule)
        try:
            train()
            said = "trained"
        except BaseException as error:  # whatever it is, the test reads it
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        print(f"{rule}: {said.splitlines()[0]}", flush=True)
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
