"""Agents: a dialogue's loop over tools and a simulated user, played by any engine or an expert."""

from k2core.agents.dialogue import Dialogue, Segment, close_session
from k2core.agents.expert import Habits, play_expert
from k2core.agents.rollout import rollout
from k2core.agents.session import Session
from k2core.agents.user import ListeningUser, ScriptedUser, User, open_user

__all__ = [
    "Dialogue",
    "Habits",
    "ListeningUser",
    "ScriptedUser",
    "Segment",
    "Session",
    "User",
    "close_session",
    "open_user",
    "play_expert",
    "rollout",
]
