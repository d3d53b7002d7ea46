"""Optimizers by name or dotted path."""

from k2core.dotted import load_class
from k2core.optim.kinds import AdamW, Muon, MuonClip
from k2core.optim.rule import UpdateRule
from schemas.optim import OptimConfig

RULES: dict[str, type[UpdateRule]] = {"MuonClip": MuonClip, "Muon": Muon, "AdamW": AdamW}
"""One's own needs no entry: a dotted path as `optim.kind` is enough."""


def load_rule(config: OptimConfig) -> UpdateRule:
    """The optimizer that a config names; raises what `k2core.dotted.load_class` raises."""
    return load_class(config, RULES, UpdateRule, "optim")(config)
