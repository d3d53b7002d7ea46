"""Adopt: a checkpoint of K2's architecture, made elsewhere, as the base to go on from."""

from k2core.adopt.errors import AdoptError
from k2core.adopt.places import CheckpointSource, digest_of, pin
from k2core.adopt.stage import adopt_checkpoint, look, look_at_config

__all__ = [
    "AdoptError",
    "CheckpointSource",
    "adopt_checkpoint",
    "digest_of",
    "look",
    "look_at_config",
    "pin",
]
