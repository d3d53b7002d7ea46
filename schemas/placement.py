"""Where work runs: changes speed and memory, and results only by rounding."""

from math import prod
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config

GpuName = Literal["cpu", "a100", "h20", "h100", "h800", "h200", "b200", "gb300"]
"""A rank's device; `k2core.parallel.hardware` knows its memory, peak and links."""


class Serving(Config):
    """How models are served while they are practised, examined, released or rewrite text."""

    num_engines: int = Field(2, ge=1)
    """vLLM engines, each with all of the model; prompts are dealt out over them."""
    tp: int = Field(1, ge=1)
    """Of an engine: devices that share each matrix (tensor parallel)."""
    pp: int = Field(1, ge=1)
    """Of an engine: stages of layers in a row of devices (pipeline parallel)."""
    expert_parallel: bool = False
    """An engine's tp devices share its routed experts whole, in place of slices of each."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Arithmetic, and what weights are sent in; None: bfloat16 on GPUs, float32 on CPU cores."""
    memory_frac: float = Field(0.9, gt=0, le=1)
    """Share of a GPU's memory that an engine fills; what it does not need holds keys and values."""
    sleep: bool = False
    """RL's engines lie on the trainer's own GPUs, and give their memory back while it computes;
    without, the trainer's GPUs and theirs are different ones. Of no use on CPU cores."""

    @property
    def devices(self) -> int:
        """Of an engine: CPU cores or GPUs."""
        return self.tp * self.pp


class Placement(Config):
    """How a model lies over processes (ranks); an ignored input of the cache.

    Data-parallel replicas are what is left: num_ranks / (tp * cp * pp).
    """

    num_ranks: int = Field(2, ge=1)
    """All processes, one device each; on CPU one thread each, and one a core is best."""
    micro_batch: int = Field(8, ge=1)
    """Sequences a forward pass."""
    tp: int = Field(1, ge=1)
    """Ranks that share each matrix and its sequence (tensor parallel)."""
    cp: int = Field(1, ge=1)
    """Ranks that share each sequence, for long contexts (context parallel)."""
    tokens_a_rank: int | None = Field(None, ge=16)
    """Of a sequence, at most; longer ones, as of K2's last phase, are shared by more ranks than
    cp, at the price of replicas. None: by cp, whatever their length."""
    pp: int = Field(1, ge=1)
    """Stages of layers in a row of ranks (pipeline parallel, 1F1B)."""
    ep: int = Field(1, ge=1)
    """Ranks that share a layer's routed experts (expert parallel), out of tp * cp * dp."""
    zero: Literal["matrix", "flat"] = "matrix"
    """Optimizer state by whole matrices, or by equal flat shards (arXiv:2502.16982, alg. 1)."""
    recompute: Literal["none", "selective", "full"] = "none"
    """What the backward computes anew instead of keeping: K2's norms, SwiGLU and MLA
    up-projections, or whole layers."""
    offload: bool = False
    """Keep what is left of a layer's activations in host memory between its forward and backward
    pass, copied while other layers compute (K2's; on CPU the same memory, for nothing)."""
    gpu: GpuName = "cpu"
    """What a rank computes on: the memory that `k2 plan` and the stages hold it to."""
    ranks_per_node: int = Field(8, ge=1)
    """Devices of one machine, joined by its fast links; `k2 plan` counts what leaves it."""
    timeout_s: float = Field(600.0, gt=0)
    """Seconds that a rank waits for the others in a step: then it ends, and says who is missing."""
    states_kept: int = Field(2, ge=1)
    """Newest states of an unfinished training that are kept to go on from."""
    serving: Serving = Serving()
    """How the stages that generate are served."""
    session_actors: int = Field(0, ge=0, le=4096)
    """Ray actors that play synthesize's sessions, a core each, on the cluster of `RAY_ADDRESS` or
    on this machine; 0 plays them in threads of the stage's own process."""
    data_workers: int = Field(0, ge=0, le=4096)
    """Pieces of text at a time that Ray Data works on for ingest, clean and tokenize, a core each,
    on the cluster of `RAY_ADDRESS` or on this machine; 0 does all in the stage's own process.
    Workers read and write where they see the store, else what they need passes through the stage's
    node."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        for names in (("tp", "cp", "pp"), ("ep", "pp")):
            sizes = [getattr(self, name) for name in names]
            if self.num_ranks % prod(sizes):
                raise ValueError(
                    f"num_ranks={self.num_ranks} is not a multiple of {' * '.join(names)} = "
                    f"{' * '.join(map(str, sizes))} = {prod(sizes)}"
                )
        return self

    def for_length(self, sequence_length: int) -> Self:
        """The placement of sequences so long: enough ranks share one.

        Raises:
            ValueError: there are too few ranks for `tokens_a_rank`.
        """
        if self.tokens_a_rank is None or sequence_length <= self.cp * self.tokens_a_rank:
            return self
        needed = -(-sequence_length // self.tokens_a_rank)
        for cp in range(needed, self.num_ranks + 1):
            if self.num_ranks % (self.tp * cp * self.pp) == 0:
                return self.model_copy(update={"cp": cp})
        raise ValueError(
            f"sequences of {sequence_length} need {needed} ranks at tokens_a_rank="
            f"{self.tokens_a_rank}, and tp * pp leaves {self.num_ranks // (self.tp * self.pp)}: "
            "raise num_ranks or tokens_a_rank"
        )

    @property
    def dp(self) -> int:
        """Model replicas, each with rows of its own."""
        return self.num_ranks // (self.tp * self.cp * self.pp)
