"""Classes by name or dotted path: the seam through which one's own code comes in."""

import importlib
from collections.abc import Mapping
from typing import TypeVar, cast

from schemas.source import NamedCode, digest_source

T = TypeVar("T")


def load_class(
    config: NamedCode, known: Mapping[str, type[T]], base: type[object], field: str
) -> type[T]:
    """The class that a config names.

    Args:
        config: `kind` is a name of `known` or `package.module:Class`.
        known: what comes with the project.
        base: what it must be a subclass of.
        field: of the recipe, for messages.

    Raises:
        ValueError: the path leads nowhere, or to other code than the config was made for.
        TypeError: what is there is no `base`.
    """
    if found := known.get(config.kind):
        return found
    if digest_source(config.kind) != config.source:
        raise ValueError(
            f"{field}.kind={config.kind}: the module's source is not the one that this config was "
            f"made for ({field}.source): make the config anew, so that results are told apart"
        )
    module, _, name = config.kind.partition(":")
    own = getattr(importlib.import_module(module), name, None)
    if own is None:
        raise ValueError(f"{field}.kind={config.kind}: {module} has no {name}")
    if not (isinstance(own, type) and issubclass(own, base)):
        raise TypeError(
            f"{field}.kind={config.kind}: {name} is no {base.__module__}.{base.__qualname__}"
        )
    return cast("type[T]", own)
