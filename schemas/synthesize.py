"""Agentic data: tools, experts, simulated users, faults and how many trajectories."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config, Digest
from schemas.endpoint import Endpoint


class ModelJudgeConfig(Config):
    """A model that judges by rubrics, after the programs."""

    endpoint: Endpoint
    """Where it answers."""
    num_calibration: int = Field(60, ge=10)
    """Dialogues, and half as many pairs, with known truth that it is held against first."""
    min_agreement: float = Field(0.8, ge=0.5, le=1)
    """Least agreement with the checkers, at the lower end of its 95 % interval."""
    max_position_bias: float = Field(0.1, ge=0, le=1)
    """Largest share of pairs for which it names the same place in both orders."""


LiveServer = Literal[
    "time",
    "git",
    "sqlite",
    "filesystem",
    "memory",
    "everything",
    "calculator",
    "hashlib",
    "shell",
    "editor",
    "excel",
    "word",
]


class SynthesizeConfig(Config):
    """Trajectories by rejection sampling (arXiv:2507.20534, section 3.1.1)."""

    seed: int = Field(0, ge=0)
    """Seed of the experts' habits, the faults and the distractors."""
    num_problems: int = Field(8000, ge=1)
    """Training problems that experts are put before; nearly all yield one accepted trajectory."""
    num_scenarios: int = Field(120, ge=0)
    """Scenarios beside them: agents with a synthetic service's tools and a user with several goals.
    Their dialogues are long: the tiny model learns from short ones, larger ones want thousands."""
    live_servers: tuple[LiveServer, ...] = ("time", "git", "sqlite")
    """Real MCP servers that are called; all but these three come by `k2 tools harvest`."""
    live_per_server: int = Field(40, ge=0, le=1000)
    """Trajectories with each of them; 0 starts no server."""
    shortcut_frac: float = Field(0.6, ge=0, le=1)
    """Share of demonstrations that take the shorter of two correct ways, where there are two."""
    slip_frac: float = Field(0.03, ge=0, le=1)
    """Share that get the first call wrong and recover from the error."""
    failure_frac: float = Field(0.03, ge=0, le=1)
    """Share that end with a wrong answer, for the judge to reject."""
    outage_frac: float = Field(0.01, ge=0, le=1)
    """Share whose server stays busy: the environment's fault."""
    silent_user_frac: float = Field(0.01, ge=0, le=1)
    """Share whose user never tells the goal, of those told in two turns: the user's fault."""
    distractor_frac: float = Field(0.04, ge=0, le=1)
    """Share of problems with tools that also declare one real MCP tool, of no use."""
    unfit_frac: float = Field(0.1, ge=0, le=1)
    """Share of problems without tools that declare another problem's, none of which fits."""
    beside_frac: float = Field(0.05, ge=0, le=1)
    """Share of demonstrations that say something beside their first call."""
    max_distractor_chars: int = Field(260, ge=100)
    """Longest declaration of such a tool: prompts stay short."""
    keep_tool_orders: bool = False
    """Whether real tools are declared whose descriptions give the model orders; all are marked."""
    unsafe_servers: bool = False
    """Run MCP servers without a jail where none works; never on a machine that matters."""
    tool_repository: Digest | None = None
    """Repository of real tools, as `k2 tools harvest` names it; without one livemcpbench's list."""
    num_probes: int = Field(1, ge=1, le=100)
    """Dialogues a problem by which its pass rate is known; K2's kind of agent needs about 10."""
    hard_pass_rate: float = Field(0.1, gt=0, le=1)
    """Below this pass rate a problem is hard, and sampled on until `max_attempts`."""
    max_attempts: int = Field(4, ge=1, le=1000)
    """Most dialogues a problem."""
    max_faulty_frac: float = Field(0.05, ge=0, le=1)
    """Share of dialogues that may break by no fault of the agent's; more of them end the stage."""
    shard_problems: int = Field(1000, ge=1)
    """Problems a parquet shard; a killed stage resumes after the last whole shard."""

    agent: Endpoint | None = None
    """A model that acts instead of the scripted expert; it needs more `num_probes`."""
    model_judge: ModelJudgeConfig | None = None
    """A second judge; until its calibration suffices, its verdict does not count."""

    @model_validator(mode="after")
    def _can_succeed(self) -> Self:
        if self.num_probes > self.max_attempts:
            raise ValueError(
                f"num_probes={self.num_probes} exceeds max_attempts={self.max_attempts}"
            )
        faults = self.failure_frac + self.outage_frac + self.silent_user_frac
        if faults >= 1:
            raise ValueError(
                f"failure_frac + outage_frac + silent_user_frac = {faults:g}: nothing would be "
                "accepted; keep the sum below 1"
            )
        return self
