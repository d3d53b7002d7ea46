"""Let megatron-core 0.16.1 run on CPU with gloo: an import hook over its own source.

Megatron names CUDA in about 200 places: `torch.cuda.current_device()` as a device, `"cuda"`
literals, streams. While `megatron.core` is imported, its syntax tree is rewritten: `torch.cuda`
becomes the stand-in below, the literals become `"cpu"`. torch itself is untouched, and where CUDA
exists nothing is rewritten. Rewritten bytecode is kept beside Megatron's own, where Python keeps
any, under a name of this file's content: rewriting takes each process that trains three seconds.
The same hook applies the fixes of `upstream.py`, on CPU and GPU alike.
"""

import ast
import contextlib
import hashlib
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

from k2core.engines.megatron.upstream import FIXES

_STAND_IN = "k2_cuda_stand_in"
_DEVICE_ARGUMENTS = ("device", "device_type")
_REWRITTEN = f".k2-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]}.pyc"


class NullStream:
    """Stands for `torch.cuda.Stream` and `Event`: every method does nothing."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __getattr__(self, _name: str) -> Callable[..., "NullStream"]:
        return lambda *_args, **_kwargs: NullStream()

    def __enter__(self) -> "NullStream":
        return self

    def __exit__(self, *_exc: object) -> None:
        return None


def build_stand_in() -> types.ModuleType:
    """A module with the parts of `torch.cuda` that Megatron calls, acting on the CPU."""
    module: Any = types.ModuleType(_STAND_IN)

    def nothing(*_args: object, **_kwargs: object) -> None:
        return None

    module.is_available = lambda: False
    module.current_device = lambda: torch.device("cpu")
    module.synchronize = module.empty_cache = module._lazy_init = nothing
    module.Stream = module.Event = NullStream
    module.current_stream = module.default_stream = NullStream
    module.stream = module.device = lambda *_args: contextlib.nullcontext()
    module.manual_seed = torch.manual_seed
    module.get_rng_state = lambda *_args, **_device: torch.get_rng_state()
    module.set_rng_state = lambda state, *_args, **_device: torch.set_rng_state(state)
    module.random = types.SimpleNamespace(get_rng_state=module.get_rng_state)
    module.default_generators = {torch.device("cpu"): torch.default_generator}
    module._lazy_call = lambda callback: callback()
    module.__getattr__ = lambda name: getattr(torch.cuda, name)
    return module  # type: ignore[no-any-return]


class CudaRewriter(ast.NodeTransformer):
    """Turns the CUDA sites of one source file into CPU ones."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`torch.cuda` -> the stand-in."""
        self.generic_visit(node)
        if node.attr == "cuda" and isinstance(node.value, ast.Name) and node.value.id == "torch":
            return ast.copy_location(ast.Name(_STAND_IN, node.ctx), node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """`from torch.cuda import x` -> from the stand-in."""
        if node.module == "torch.cuda":
            node.module = _STAND_IN
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """`x.cuda(...)` -> `x.cpu()`; `f(device="cuda")` -> "cpu".

        Memory is not pinned, which asks for a device to be copied to.
        """
        self.generic_visit(node)
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if called == "cuda" and isinstance(node.func, ast.Attribute):
            node.func.attr, node.args, node.keywords = "cpu", [], []
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "pin_memory"]
        for keyword in node.keywords:
            if keyword.arg in _DEVICE_ARGUMENTS and _is_cuda(keyword.value):
                keyword.value = ast.copy_location(ast.Constant("cpu"), keyword.value)
        return node


def _is_cuda(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == "cuda"


class _Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(  # type: ignore[override]
        self, data: "ReadableBuffer", path: str, *, _optimize: int = -1
    ) -> types.CodeType:
        if torch.cuda.is_available():
            return super().source_to_code(data, path)
        tree = ast.fix_missing_locations(CudaRewriter().visit(ast.parse(data, path)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def get_data(self, path: str) -> bytes:
        return super().get_data(_apart(path))

    def set_data(self, path: str, data: "ReadableBuffer", *, _mode: int = 0o666) -> None:
        super().set_data(_apart(path), data, _mode=_mode)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__[_STAND_IN] = sys.modules[_STAND_IN]
        with warnings.catch_warnings():
            # Upstream warns at length that Transformer Engine and Apex are missing.
            warnings.simplefilter("ignore")
            super().exec_module(module)
        if fix := FIXES.get(module.__name__):
            fix(module)


def _apart(path: str) -> str:
    """Where a module's bytecode is kept: rewritten, not where Megatron's own is."""
    if torch.cuda.is_available() or not path.endswith(".pyc"):
        return path
    return path.removesuffix(".pyc") + _REWRITTEN


class MegatronFinder:
    """Finds modules of `megatron.core` for the loader above; other imports pass by."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a Megatron module, with the rewriting loader."""
        if not name.startswith("megatron.core"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Put the hook in front of the import system, once.

    Raises:
        ImportError: megatron.core was imported before, without the hook.
    """
    if MegatronFinder in sys.meta_path:
        return
    if any(name.startswith("megatron.core") for name in sys.modules):
        raise ImportError(
            "megatron.core was imported before k2core.engines.megatron: import it through this "
            "package, which makes it run without CUDA and applies its fixes"
        )
    sys.modules[_STAND_IN] = build_stand_in()
    sys.meta_path.insert(0, MegatronFinder)
