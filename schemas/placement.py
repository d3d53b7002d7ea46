"""Where training runs: changes speed and memory, and results only by the order of additions."""

from pydantic import Field

from schemas.base import Config


class Placement(Config):
    """Processes on one machine; an ignored input of the cache."""

    num_ranks: int = Field(2, ge=1, le=64)
    """Data-parallel processes, one thread each; one a core is best."""
    micro_batch: int = Field(8, ge=1)
    """Sequences a forward pass."""
