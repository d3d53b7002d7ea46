"""Ranks: one program on every process of a training, started by torchrun's agent."""

from k2core.engines.torchrun.group import Ranks, join_group, joined_ranks
from k2core.engines.torchrun.launch import run_ranks
from k2core.engines.torchrun.peers import PeerError, RankError

__all__ = ["PeerError", "RankError", "Ranks", "join_group", "joined_ranks", "run_ranks"]
