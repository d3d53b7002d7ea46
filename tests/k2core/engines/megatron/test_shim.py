import ast
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from k2core.engines.megatron import upstream
from k2core.engines.megatron.shim import CudaRewriter, build_stand_in


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("torch.cuda.current_device()", "k2_cuda_stand_in.current_device()"),
        ("from torch.cuda import _lazy_call", "from k2_cuda_stand_in import _lazy_call"),
        ("x.cuda(0, non_blocking=True)", "x.cpu()"),
        ("torch.zeros(2, device='cuda')", "torch.zeros(2, device='cpu')"),
        ("torch.device('cuda')", "torch.device('cpu')"),
        ("torch.autocast('cuda')", "torch.autocast('cpu')"),
        ("kind = 'torch.cuda.FloatTensor'", "kind = 'torch.FloatTensor'"),
        ("print('cuda')", "print('cuda')"),
        ("other.cuda", "other.cuda"),
    ],
)
def test_sites_are_rewritten(source: str, wanted: str) -> None:
    assert ast.unparse(CudaRewriter().visit(ast.parse(source))) == wanted


def test_the_stand_in_acts_on_the_cpu() -> None:
    cuda = build_stand_in()
    assert cuda.current_device() == torch.device("cpu")
    assert not cuda.is_available()
    with cuda.stream(cuda.Stream()), cuda.device(0):
        cuda.current_stream().wait_stream(cuda.Stream())
    state = cuda.get_rng_state()
    first = torch.rand(3)
    cuda.set_rng_state(state)
    assert torch.equal(torch.rand(3), first)
    assert cuda.FloatTensor is torch.cuda.FloatTensor


def test_importing_megatron_first_is_an_error() -> None:
    code = "import megatron.core.utils; import k2core.engines.megatron"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert "megatron.core was imported before k2core.engines.megatron" in done.stderr


def test_torch_itself_stays_as_it_is() -> None:
    import megatron.core.transformer.moe.router as router

    assert router.torch.cuda is torch.cuda
    assert torch.cuda.__name__ == "torch.cuda"


def test_fixes_are_applied_to_megatron() -> None:
    import megatron.core.jit as jit
    import megatron.core.transformer.moe.moe_utils as moe_utils
    import megatron.core.transformer.moe.token_dispatcher as dispatcher
    import megatron.core.transformer.multi_latent_attention as mla

    def function() -> None:
        pass

    assert jit.jit_fuser(function) is function
    assert mla.HAVE_TE is isinstance(mla.TELinear, type)
    assert moe_utils.te_general_gemm is None
    assert dispatcher.maybe_move_tensor_to_cpu(torch.tensor([1, 2]), as_numpy=True) == [1, 2]


def test_fixes_leave_what_is_right() -> None:
    gemm = object()
    with_te = types.SimpleNamespace(te_general_gemm=gemm, TELinear=torch.nn.Linear)
    upstream.name_te_gemm(with_te)
    upstream.judge_transformer_engine(with_te)
    assert with_te.te_general_gemm is gemm
    assert with_te.HAVE_TE is True

    calls = []
    dispatcher = types.SimpleNamespace(
        maybe_move_tensor_to_cpu=lambda *args: calls.append(args) or np.zeros(1)
    )
    upstream.list_splits(dispatcher)
    dispatcher.maybe_move_tensor_to_cpu(None, as_numpy=True)
    assert calls == [(None, True, False)]
