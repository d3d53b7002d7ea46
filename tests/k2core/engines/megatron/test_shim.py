import ast
import marshal
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path

import pytest
import torch

from k2core.engines.megatron.shim import CudaRewriter, MegatronFinder, build_stand_in


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("torch.cuda.current_device()", "k2_cuda_stand_in.current_device()"),
        ("from torch.cuda import _lazy_call", "from k2_cuda_stand_in import _lazy_call"),
        ("x.cuda(0, non_blocking=True)", "x.cpu()"),
        ("torch.zeros(2, device='cuda')", "torch.zeros(2, device='cpu')"),
        ("torch.tensor([0], device='cpu', pin_memory=True)", "torch.tensor([0], device='cpu')"),
        ("print('cuda')", "print('cuda')"),
        ("other.cuda", "other.cuda"),
    ],
)
def test_sites_are_rewritten(source: str, wanted: str) -> None:
    assert ast.unparse(CudaRewriter().visit(ast.parse(source))) == wanted


def test_what_is_rewritten_is_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "toy.py"
    source.write_text("place = 'cuda'\nmade = dict(device='cuda')")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    plain = SourceFileLoader("megatron.core.toy", str(source)).get_code("megatron.core.toy")
    for text in ("place = 'cuda'\nmade = dict(device='cuda')", "made = dict(device='cpu', x=1)"):
        source.write_text(text)
        for _ in range(2):  # made, and kept
            spec = MegatronFinder.find_spec("megatron.core.toy", [str(tmp_path)])
            assert spec
            assert spec.loader
            toy = module_from_spec(spec)
            toy.__dict__["__builtins__"] = __builtins__
            spec.loader.exec_module(toy)
            assert toy.made["device"] == "cpu"
    assert toy.made["x"] == 1
    own, kept = sorted((tmp_path / "__pycache__").iterdir(), key=lambda path: len(path.name))
    assert own.name == f"toy.{sys.implementation.cache_tag}.pyc"
    assert kept.name.startswith(f"toy.{sys.implementation.cache_tag}.k2-")
    assert plain == marshal.loads(own.read_bytes()[16:])


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
    assert getattr(cuda, "FloatTensor") is getattr(torch.cuda, "FloatTensor")  # noqa: B009


@pytest.mark.slow
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


RULES = {
    "visit_Attribute": "AssertionError: Torch not compiled with CUDA",
    "visit_ImportFrom": "AssertionError: random numbers are not restored",
    ".cuda(": "AssertionError: Torch not compiled with CUDA",
    "pin_memory=": "RuntimeError: pin_memory=True requires",
    "device=": "AssertionError: Torch not compiled with CUDA",
}
"""What training on a CPU says when a rule of the rewriter is off."""


@pytest.mark.slow  # a process a rule
def test_without_any_one_rule_nothing_trains() -> None:
    script = Path(__file__).with_name("without_rule.py")
    command = [sys.executable, "-W", "ignore", str(script), "none", *RULES]
    environment = os.environ | {"PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert said.pop("none") == "trained"
    assert said.keys() == RULES.keys()
    for rule, words in RULES.items():
        assert words in said[rule]
