"""Optimizers by name or dotted path."""

import importlib

from k2core.optim.kinds import AdamW, Muon, MuonClip
from k2core.optim.rule import UpdateRule
from schemas.optim import OptimConfig
from schemas.source import digest_source

RULES: dict[str, type[UpdateRule]] = {"MuonClip": MuonClip, "Muon": Muon, "AdamW": AdamW}
"""One's own needs no entry: a dotted path as `optim.kind` is enough."""


def load_rule(config: OptimConfig) -> UpdateRule:
    """The optimizer that a config names.

    Raises:
        ValueError: the path leads nowhere, or to other code than the config was made for.
        TypeError: what is there is no `UpdateRule`.
    """
    if found := RULES.get(config.kind):
        return found(config)
    if digest_source(config.kind) != config.source:
        raise ValueError(
            f"optim.kind={config.kind}: the module's source is not the one that this config was "
            "made for (optim.source): make the config anew, so that results are told apart"
        )
    module, _, name = config.kind.partition(":")
    rule = getattr(importlib.import_module(module), name, None)
    if rule is None:
        raise ValueError(f"optim.kind={config.kind}: {module} has no {name}")
    if not (isinstance(rule, type) and issubclass(rule, UpdateRule)):
        raise TypeError(f"optim.kind={config.kind}: {name} is no k2core.optim.rule.UpdateRule")
    return rule(config)
