"""Code that a config names by a dotted path: its source is part of the config's identity."""

import hashlib
import importlib.util
from pathlib import Path

DOTTED = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""`package.module:Name`."""


def digest_source(dotted: str) -> str:
    """`package.module:Name@SHA-256` of the module; of a package, of all its Python files.

    The module is found, not run. What it imports in turn is not looked at.

    Raises:
        ValueError: there is no such module.
    """
    module = dotted.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(f"{dotted!r}: no module {module!r} on Python's path")
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    digest = hashlib.sha256()
    for path in files:
        source = path.read_bytes()
        digest.update(f"{path.relative_to(origin.parent)} {len(source)}\n".encode() + source)
    return f"{dotted}@{digest.hexdigest()}"
