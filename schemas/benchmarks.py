"""Public benchmarks and our own, asked of any model; and what comes of it."""

from typing import Literal

import pandera.polars as pa
from pydantic import Field

from schemas.base import Config
from schemas.evaluate import Rate

SUITES = {
    "humaneval": "coding",
    "bfcl": "tools",
    "bfcl_turns": "tools",
    "families": "tools",
    "scenarios": "tools",
    "tau2": "tools",
    "reasoning": "logic",
    "instructions": "general",
    "retrieval": "general",
}
"""What can be asked, and its group in the K2 report's evaluation (arXiv:2507.20534, section 4)."""


class BenchmarkConfig(Config):
    """What is asked of a model, and how it answers."""

    suites: tuple[str, ...] = tuple(SUITES)
    """Which suites, by name."""
    limit: int | None = Field(None, ge=1)
    """Most items of each category of a suite; all without it."""
    samples: int = Field(1, ge=1, le=64)
    """Answers an item; above 1 only a temperature above 0 makes them differ."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature; 0 takes the likeliest token."""
    max_tokens: int = Field(512, ge=1)
    """Longest answer."""
    tool_calls: Literal["native", "prompted"] = "native"
    """Tools are declared to the server, which reads the calls; or they stand in the prompt in the
    benchmark's own words, for a model whose chat template knows none."""
    enforcer: Literal["on", "off", "unknown"] = "unknown"
    """Whether the server held calls to their tools' schemas; of a stranger's nobody knows."""
    max_connections: int = Field(16, ge=1)
    """Items in flight together."""
    seed: int = Field(0, ge=0)
    """Of the sampling, and of the items that are generated."""


class SuiteScore(Config):
    """What a model reached in one suite."""

    group: str
    """Coding, tools, logic or general."""
    source: str
    """Where the items come from: package and version."""
    data: str
    """Digest of the items that were asked: ids, prompts, tools, gold answers."""
    rate: Rate
    """Items passed; clustered by item."""
    categories: dict[str, Rate]
    """The same by category."""
    cut_off: Rate
    """Answers that ended at the limit of tokens."""
    valid_calls: Rate | None = None
    """Calls that name a declared tool with arguments of its schema, where tools are declared."""
    faulty: int = Field(ge=0)
    """Items that no fault of the model's left without a verdict: no part of any rate."""
    faults: dict[str, int] = Field(default_factory=dict)
    """What left those without one, the commonest first."""
    reasons: dict[str, int]
    """Why answers failed, the commonest first."""


class Benchmarks(Config):
    """`benchmarks.json`: a model's scores, bound to what made them."""

    model: str
    """Its name, as it was asked for."""
    weights: str
    """Digest of the weights that were served; empty for a stranger's endpoint, which says none."""
    command: str = ""
    """What asks it again."""
    harness: str
    """The harness and its version."""
    config: BenchmarkConfig
    """How it was asked."""
    suites: dict[str, SuiteScore]
    """Suite -> score."""


class ItemRow(pa.DataFrameModel):
    """One answer to one item of a suite."""

    suite: str
    category: str
    item: str
    """The item's id in its suite."""
    sample: int = pa.Field(ge=0)
    passed: bool
    faulty: bool
    reason: str
    """Why it failed; empty if it passed."""
    prompt: str
    answer: str
    """What the model said, its calls as JSON lines below."""
    num_tokens: int = pa.Field(ge=0)

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True
