"""Draws that depend on a seed and a name alone: the same in any order, shard or process."""

import hashlib


def draw(seed: int, salt: str, name: str) -> float:
    """A number from 0 to below 1."""
    digest = hashlib.sha256(f"{salt}\0{seed}\0{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
