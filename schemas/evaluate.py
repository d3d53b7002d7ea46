"""What the models are asked at the end, and the scores that come of it."""

from typing import Literal

import pandera.polars as pa
from pydantic import Field

from schemas.base import Config

CHECKPOINTS = ("base", "sft", "policy")
"""What is graded, in the order of their making."""

SIGNIFICANT = 0.05
"""Most of a corrected p value that is called a change."""


class EvaluateConfig(Config):
    """Held-out problems, answered once each, and held-out text (arXiv:2507.20534, section 4)."""

    samples_per_problem: int = Field(1, ge=1, le=64)
    """Dialogues a problem; above 1 only a temperature above 0 makes them differ."""
    temperature: float = Field(1.0, ge=0, le=2)
    """Sampling temperature; 1 asks the model as it is, and as RL does; 0 takes the likeliest
    token."""
    variants_per_family: int = Field(12, ge=0)
    """Held-out problems of each generated family that are asked again under each `Variant` that
    applies to them; they are scored apart, beside the same problems asked plainly."""
    heldout_tokens: int = Field(16_000, ge=64)
    """Held-out tokens of each domain that perplexity is taken over, at most."""
    choices_per_task: int = Field(30, ge=0)
    """Items of each log-likelihood task: held-out text to continue, and sums after four solved
    ones."""
    overlap_ngram: int = Field(13, ge=5)
    """Words and signs in a row that an item and a training text must share to overlap."""
    overlap_suites: tuple[Literal["humaneval", "bfcl", "reasoning"], ...] = (
        "humaneval",
        "bfcl",
        "reasoning",
    )
    """Public suites whose items are held against the training data, beside our own families."""
    overlap_tokens: int = Field(50_000_000, ge=0)
    """Tokens to train on, at most, that items are held against: the first of each domain, in
    proportion; the SFT dialogues are read whole."""
    max_num_seqs: int = Field(128, ge=1)
    """Dialogues in flight together, an engine."""
    max_faulty_frac: float = Field(0.01, ge=0, le=1)
    """Share of dialogues that may break by no fault of the model's; they are no part of a rate."""
    unsafe_sandbox: bool = False
    """Run code without isolation where no sandbox works; never on a machine that matters."""
    seed: int = Field(0, ge=0)
    """Decides the sampling, where the temperature is above 0."""


class Rate(Config):
    """A share with its 95 % confidence interval, clustered by problem (Wilson, 1927)."""

    passed: int = Field(ge=0)
    """How many."""
    total: int = Field(ge=0)
    """Of how many."""
    rate: float = Field(ge=0, le=1)
    """`passed` / `total`; 0 of nothing is 0."""
    low: float = Field(ge=0, le=1)
    """Lower end of the interval."""
    high: float = Field(ge=0, le=1)
    """Upper end of the interval."""


class Change(Config):
    """What a later model won and lost against an earlier one, problem by problem."""

    gained: int = Field(ge=0)
    """Samples more that pass, over the problems that got better."""
    lost: int = Field(ge=0)
    """Samples fewer that pass, over the problems that got worse."""
    total: int = Field(ge=0)
    """Samples of each model that were compared."""
    p_value: float = Field(ge=0, le=1)
    """Chance of a difference as large between equals (exact, paired, two-sided)."""
    p_corrected: float = Field(1.0, ge=0, le=1)
    """The same, corrected for the number of families that were looked at (Holm)."""

    @property
    def mark(self) -> str:
        """`+` for a gain, `-` for a loss, nothing for what may be chance."""
        if self.p_corrected >= SIGNIFICANT or self.gained == self.lost:
            return ""
        return "+" if self.gained > self.lost else "-"


class Perplexity(Config):
    """How well text is predicted."""

    tokens: int = Field(ge=0)
    """Tokens predicted."""
    perplexity: float = Field(ge=1)
    """exp of the mean negative log-likelihood a token; depends on the tokenizer."""
    bits_per_byte: float = Field(ge=0)
    """Negative log-likelihood in bits, a byte of UTF-8; does not."""


class VariantScore(Config):
    """One checkpoint under one condition, beside the same problems asked plainly."""

    rate: Rate
    """Pass rate under the condition."""
    plain: Rate
    """Of the same problems asked plainly."""
    change: Change
    """What the condition won and lost."""
    tool_calls: Rate
    """Valid calls of all calls under the condition."""
    plain_tool_calls: Rate
    """The same, asked plainly."""


class SuiteOverlap(Config):
    """Items of one suite that training data gives away."""

    items: int = Field(ge=0)
    """Items that are long enough to be told."""
    text: int = Field(ge=0)
    """Of these, how many have a run of words in the text to train on."""
    dialogues: int = Field(ge=0)
    """The same in the accepted trajectories."""
    answered: int = Field(ge=0)
    """Asked word by word in a trajectory, with the same data and the same expected answer."""


class Overlaps(Config):
    """What was asked against what was trained on."""

    ngram: int
    """Words and signs of a run; of a shorter item, all of it."""
    tokens_read: int
    """Tokens to train on that were held against the items."""
    suites: dict[str, SuiteOverlap]
    """Suite -> overlap; own families one by one."""


class Scores(Config):
    """`scores.json` of an evaluation; inner keys are checkpoints: base, sft, policy."""

    checkpoints: dict[str, str]
    """Name -> digest of the artifact."""
    temperature: float = Field(1.0, ge=0, le=2)
    """That all of them were sampled at; 0 took the likeliest token."""
    weights: dict[str, str]
    """Name -> digest of the weights that the engine served: the receipt of the answers."""
    families: dict[str, dict[str, Rate]]
    """Family -> checkpoint -> pass rate."""
    groups: dict[str, dict[str, Rate]]
    """Group of families -> checkpoint -> pass rate."""
    tool_calls: dict[str, Rate]
    """Checkpoint -> calls that name a declared tool with arguments of its schema."""
    perplexity: dict[str, dict[str, Perplexity]]
    """Domain -> checkpoint -> perplexity on held-out text."""
    variants: dict[str, dict[str, VariantScore]] = Field(default_factory=dict)
    """Condition -> checkpoint -> what it changed."""
    overlaps: Overlaps | None = None
    """Items that training data gives away, by suite; None where nobody looked."""
    cut_off: dict[str, Rate] = Field(default_factory=dict)
    """Checkpoint -> answers that turns, tokens or context cut off before their end."""
    choices: dict[str, dict[str, Rate]] = Field(default_factory=dict)
    """Log-likelihood task -> checkpoint -> items whose right option of four was likeliest."""
    changes: dict[str, dict[str, Change]]
    """Later checkpoint (sft over base, policy over sft) -> family, or `all` -> what changed."""
    failures: dict[str, dict[str, int]]
    """Checkpoint -> reason -> answers that failed for it, the commonest first."""
    pass_at: dict[str, dict[str, dict[str, float]]]
    """Checkpoint -> `pass@k` and `pass^k` -> k -> share of problems; k up to the samples."""

    def mark(self, family: str, later: str = "policy") -> str:
        """Whether the family was won or lost by the later checkpoint: `+`, `-` or nothing."""
        change = self.changes.get(later, {}).get(family)
        return change.mark if change else ""


class AnswerRow(pa.DataFrameModel):
    """One graded dialogue."""

    answer_id: str = pa.Field(unique=True)
    """`CHECKPOINT/PROBLEM_ID/SAMPLE`."""
    checkpoint: str = pa.Field(isin=list(CHECKPOINTS))
    weights: str
    """Digest of the weights that the engine served."""
    problem_id: str
    split: str
    """`held_out`, or the `Variant` that the problem was asked under."""
    family: str
    group: str
    messages: str
    """The whole dialogue, a JSON array of `Message`."""
    stop_reason: str
    num_tokens: int = pa.Field(ge=0)
    """Tokens that the model wrote."""
    num_calls: int = pa.Field(ge=0)
    """Tool calls, one that breaks the template included."""
    num_valid_calls: int = pa.Field(ge=0)
    """Calls that name a declared tool with arguments of its schema."""
    passed: bool
    faulty: bool
    """Whether environment or judge failed: it is no part of any rate."""
    reason: str
    """Why it failed; empty if it passed."""

    class Config:
        """Exact columns: a stranger in a shard is an error."""

        strict = True
