"""Where a content belongs: training, validation or held out, by its hash."""

import hashlib

from k2core.problems.rows import Split
from schemas.problems import ProblemsConfig

_SALT = "2026-11-28"


def place_of(config: ProblemsConfig, key: str) -> Split:
    """The split of all that has this canonical text.

    The salt is a date: renewed when settings have been chosen on what was held out.
    """
    digest = hashlib.sha256(f"{config.seed} {_SALT} {key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < config.held_out_frac:
        return "held_out"
    return "validation" if place < config.held_out_frac + config.validation_frac else "train"
