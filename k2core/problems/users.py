"""Simulated users: styles that put one request into several wordings."""

import random
from collections.abc import Sequence

_FRAMES = (
    "{}",
    "{}",
    "Please tell me: {}",
    "Hi! {}",
    "{} Thanks!",
)
"""Plain (the most frequent), polite, friendly, grateful."""

OPENERS = ("I have a question.", "Can you help me?", "Hello.")
"""How a user begins who tells the goal only when asked."""
QUESTION = "What do you need?"
"""What an expert asks such a user."""


def phrase(rng: random.Random, requests: Sequence[str], **fields: object) -> str:
    """One of the requests, filled in and framed in a user's style."""
    return rng.choice(_FRAMES).format(rng.choice(requests).format(**fields))
