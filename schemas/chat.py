"""Messages, tools and trajectories: the vocabulary of agents."""

from typing import Annotated, Literal

import pandera.polars as pa
import polars as pl
from pydantic import AfterValidator, Field, JsonValue

from schemas.base import Config
from schemas.outside import OutsideText, make_plain


class ToolSpec(Config):
    """A tool as a model sees it: an OpenAI-style function."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_\-]{0,63}$")
    """Name that calls use."""
    description: OutsideText = ""
    """What it does, for the model."""
    parameters: Annotated[dict[str, JsonValue], AfterValidator(make_plain)] = Field(
        default_factory=dict
    )
    """JSON Schema of the arguments object."""

    def declaration(self) -> dict[str, object]:
        """The form that K2's `tool_declare` block carries."""
        return {"type": "function", "function": self.model_dump()}


class ToolCall(Config):
    """One call; `id` is `functions.NAME:IDX`, IDX counted over the dialogue from 0."""

    id: str = Field(pattern=r"^functions\.[A-Za-z_][A-Za-z0-9_\-]*:[0-9]+$")
    """Identity of the call in its dialogue."""
    name: OutsideText
    """The tool's name."""
    arguments: OutsideText
    """The arguments exactly as the model wrote them: JSON text, valid or not."""


class Message(Config):
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who speaks."""
    content: OutsideText = ""
    """The text; of a tool message, the tool's result."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of an assistant message."""
    tool_call_id: OutsideText | None = None
    """Of a tool message: the call that it answers."""
    name: OutsideText | None = None
    """Of a tool message: the tool's name."""


class Goal(Config):
    """One thing that a simulated user wants."""

    text: str
    """The request in the user's words; what it leaves out, the user tells when asked."""
    details: dict[str, str] = Field(default_factory=dict)
    """What the user knows of it: field -> words. Asked for anything else, they do not know."""


class UserSpec(Config):
    """A simulated user: who they are, and what they want one after the other."""

    persona: str
    """Who speaks, in words, for readers and for a model that plays the user."""
    style: Literal["plain", "polite", "terse", "chatty"] = "plain"
    """How they word things."""
    goals: tuple[Goal, ...]
    """Told one at a time; each after the first is a change of mind or a further wish."""
    patience: int = Field(3, ge=1)
    """Questions about a goal that they cannot answer, until they leave."""


class Problem(Config):
    """What a model is asked, and how an answer is verified."""

    problem_id: str
    """`FAMILY/SPLIT/NUMBER`, reproducible from the family's generator."""
    family: str
    """The generator, e.g. `inventory_lookup`."""
    group: Literal["code", "tools", "math", "general"]
    """The evaluation group of the K2 report, section 4."""
    messages: tuple[Message, ...]
    """System and first user message."""
    follow_ups: tuple[str, ...] = ()
    """What the simulated user says next, one each time that the assistant speaks without a call."""
    user: UserSpec | None = None
    """A simulated user who listens, in place of `follow_ups`."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools that may be called."""
    environment: str = "none"
    """Simulator that executes the calls, by name; `none` has no tools."""
    seed: int = 0
    """Seed of the environment's session: equal seeds replay bit for bit."""
    state: dict[str, JsonValue] = Field(default_factory=dict)
    """Initial state of the environment."""
    verifier: str
    """Checker of the outcome, by name."""
    expected: dict[str, JsonValue] = Field(default_factory=dict)
    """What the checker holds the outcome against; never shown to the model."""
    rubric: tuple[str, ...] = ()
    """Success criteria in words, for judges and readers."""
    max_turns: int = Field(1, ge=1)
    """Assistant messages allowed."""
    max_tokens: int = Field(64, ge=1)
    """Budget over all assistant messages, in tokens (K2 section 3.2.3, budget control)."""


class TrajectoryRow(pa.DataFrameModel):
    """One dialogue, judged. JSON columns hold the pydantic models of this module."""

    trajectory_id: str = pa.Field(unique=True)
    problem_id: str
    attempt: int = pa.Field(ge=0)
    """Which attempt at the problem."""
    parent: str
    """The attempt before this one, by its `trajectory_id`; empty of the first."""
    pass_rate: float = pa.Field(ge=0, le=1)
    """Accepted share of all attempts at the problem."""
    family: str
    group: str
    agent: str
    """Who acted: `expert`, or a checkpoint's digest."""
    problem: str
    """`Problem` as JSON."""
    messages: str
    """The whole dialogue, a JSON array of `Message`."""
    state: str
    """The environment's final state, as JSON: what a verifier of states needs to judge again."""
    stop_reason: str
    """Why the dialogue ended."""
    reward: float = pa.Field(nullable=True)
    """What the checker gave, 0 to 1; NaN of a dialogue that nothing could be judged of."""
    judge: str
    """The judge that decided, by name and version."""
    fault: str = pa.Field(isin=["", "agent", "environment", "user", "judge"])
    """The side at fault; empty if accepted."""
    reason: str
    """Empty if accepted; else why it was rejected and whose fault it was."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True


class RolloutRow(pa.DataFrameModel):
    """One on-policy sample of RL."""

    rollout_id: str = pa.Field(unique=True)
    problem_id: str
    family: str
    iteration: int = pa.Field(ge=0)
    weights: str
    """Digest of the weights that served it: the receipt of the weight update."""
    messages: str
    """The whole dialogue, a JSON array of `Message`."""
    temperature: float = pa.Field(ge=0)
    """That it was sampled at."""
    token_ids: pl.List(pl.Int32)  # type: ignore[valid-type]
    """All tokens in order, prompt and results included."""
    logprobs: pl.List(pl.Float32)  # type: ignore[valid-type]
    """Log p of each under the engine that sampled it; null where the policy did not write."""
    num_tokens: int = pa.Field(ge=0)
    """Tokens that the policy wrote."""
    stale_tokens: int = pa.Field(ge=0)
    """Those of earlier iterations, under other weights; they are not learned from."""
    reward: float
    advantage: float
    reason: str
    """Why it did not pass; empty if it did."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True
