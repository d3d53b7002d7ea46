"""Agents: a dialogue's loop over tools and a simulated user, played by any engine or an expert."""

from k2core.agents.dialogue import Dialogue, Segment, Start, break_off, close_session
from k2core.agents.expert import Habits, play_expert
from k2core.agents.faults import TooManyFaultsError, check_faults
from k2core.agents.opening import Opening, OpenSession
from k2core.agents.player import How, PromptTooLongError, Table
from k2core.agents.rollout import play_starts, rollout
from k2core.agents.session import Session
from k2core.agents.user import ListeningUser, ScriptedUser, User, open_user

__all__ = [
    "Dialogue",
    "Habits",
    "How",
    "ListeningUser",
    "OpenSession",
    "Opening",
    "PromptTooLongError",
    "ScriptedUser",
    "Segment",
    "Session",
    "Start",
    "Table",
    "TooManyFaultsError",
    "User",
    "break_off",
    "check_faults",
    "close_session",
    "open_user",
    "play_expert",
    "play_starts",
    "rollout",
]
