"""Objectives by name or dotted path."""

from k2core.dotted import load_class
from k2core.rl.objectives.cispo import Cispo
from k2core.rl.objectives.dr_grpo import DrGrpo
from k2core.rl.objectives.grpo import Grpo
from k2core.rl.objectives.gspo import Gspo
from k2core.rl.objectives.k2 import SquaredLogRatio
from k2core.rl.objectives.rule import PolicyObjective
from schemas.objective import ObjectiveConfig

OBJECTIVES: dict[str, type[PolicyObjective]] = {
    "K2": SquaredLogRatio,
    "GRPO": Grpo,
    "DrGRPO": DrGrpo,
    "GSPO": Gspo,
    "CISPO": Cispo,
}
"""One's own needs no entry: a dotted path as `rl.objective.kind` is enough."""


def load_objective(config: ObjectiveConfig) -> PolicyObjective:
    """The objective that a config names; raises what `k2core.dotted.load_class` raises."""
    return load_class(config, OBJECTIVES, PolicyObjective, "rl.objective")(config)
