"""Agents: a dialogue's loop over tools and a simulated user, played by any engine or an expert."""

from k2core.agents.dialogue import Dialogue, Segment
from k2core.agents.expert import Habits, play_expert
from k2core.agents.rollout import rollout
from k2core.agents.session import Session
from k2core.agents.user import ScriptedUser, User

__all__ = [
    "Dialogue",
    "Habits",
    "ScriptedUser",
    "Segment",
    "Session",
    "User",
    "play_expert",
    "rollout",
]
