"""Self-critique: the policy ranks what no verifier judges (arXiv:2507.20534, section 3.2.2)."""

from k2core.rl.critic.judge import EngineCritic, Prefer
from k2core.rl.critic.loop import CriticLoop
from k2core.rl.critic.rewards import GUARDED, CriticJudge

__all__ = ["GUARDED", "CriticJudge", "CriticLoop", "EngineCritic", "Prefer"]
