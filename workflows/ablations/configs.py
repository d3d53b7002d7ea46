"""Experiments beside the pipeline: what a choice of the recipe is worth."""

import hashlib

from pydantic import Field

from schemas.base import Config
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Serving
from schemas.rephrase import RephraseConfig
from schemas.rl import RlConfig
from schemas.rubrics import CriticConfig
from schemas.sft import SftConfig

_KNOWLEDGE_STYLES = (
    "bullet_list child dialogue encyclopedia formal lecture newspaper plain summary_first teacher"
)


class RephrasingAblation(Config):
    """Repeat or rewrite, at equal tokens (arXiv:2507.20534, table 1)."""

    seeds: int = Field(3, ge=1)
    """Worlds of people, each with weights and an order of its own."""
    num_taught: int = Field(60, ge=1)
    """People from whom the model learns the language, questions included."""
    num_asked: int = Field(60, ge=1)
    """People whom it reads about in an arm's way and is asked about."""
    taught_rewrites: int = Field(2, ge=1, le=10)
    """Rewrites of each of the former by the rewriter, so that the model knows its words."""
    base_tokens: int = Field(500_000, ge=1)
    """Tokens of the first stage, the same in all arms."""
    replay_frac: float = Field(0.5, ge=0)
    """Tokens of the first stage's text mixed into the second, a token of the arm's."""
    base_batch: int = Field(8, ge=1)
    """Rows a step of the first stage."""
    batch_size: int = Field(2, ge=1)
    """Rows a step of the arms' stage: few, so that few tokens are many steps."""
    sequence_length: int = Field(128, ge=16)
    """Tokens a row."""
    optim: OptimConfig = OptimConfig(lr=1e-2)
    """MuonClip."""
    schedule: Schedule = Schedule()
    """Its shape; the number of steps follows from the tokens."""
    shape: ModelShape = ModelShape(
        num_layers=2,
        hidden_size=96,
        q_lora_rank=48,
        kv_lora_rank=32,
        qk_nope_head_dim=16,
        v_head_dim=24,
        ffn_hidden_size=256,
        moe_ffn_hidden_size=128,
        num_experts=4,
    )
    """The model; its vocabulary is the world's words."""
    rewriter: RephraseConfig = RephraseConfig(
        styles=tuple(_KNOWLEDGE_STYLES.split()),
        rewrites_per_document=10,
        max_rewrites_per_document=10,
        documents_together=60,
    )
    """The model that rewrites, and its prompts: ten, without the one that asks questions, since
    questions are what nobody may have read about the people asked about."""
    serving: Serving = Serving(num_engines=1, dtype="bfloat16")
    """How it is served."""


class TextConfig(Config):
    """Real text, byte by byte."""

    seed: int = Field(0, ge=0)
    """Seed of the samples and of the documents' order."""
    num_knowledge: int = Field(10_000, ge=1)
    """Wikipedia extracts."""
    num_code: int = Field(300, ge=1)
    """Modules of Python's standard library."""
    heldout_frac: float = Field(0.03, gt=0, lt=1)
    """Share of the documents that no model reads."""


class TrainingArm(Config):
    """One model trained once; all that its result depends on, so that results are kept by it."""

    seed: int = Field(0, ge=0)
    """Of the initial weights and of the windows: arms of one seed start and read alike."""
    text: TextConfig = TextConfig()
    """What it reads."""
    shape: ModelShape = ModelShape(
        vocab_size=320,
        num_layers=2,
        hidden_size=64,
        num_heads=8,
        q_lora_rank=32,
        kv_lora_rank=32,
        qk_nope_head_dim=16,
        qk_rope_head_dim=8,
        v_head_dim=8,
        ffn_hidden_size=160,
        moe_ffn_hidden_size=64,
        num_experts=4,
    )
    """MLA and experts as in K2, narrow; bytes and the end of a document are its tokens."""
    optim: OptimConfig = OptimConfig(lr=1e-2)
    """The optimizer."""
    schedule: Schedule = Schedule(num_steps=200)
    """Steps, and the rate over them."""
    batch_size: int = Field(8, ge=1)
    """Rows a step."""
    sequence_length: int = Field(128, ge=16)
    """Bytes a row."""
    heldout_rows: int = Field(128, ge=1)
    """Rows of held-out text, the same for all arms."""
    evaluations: int = Field(5, ge=1)
    """Times that the held-out loss is taken, evenly over the steps, the end included."""

    @property
    def tokens(self) -> int:
        """Bytes that it reads."""
        return self.schedule.num_steps * self.batch_size * self.sequence_length


NEVER = 1e9
"""A threshold that no logit reaches: QK-Clip off."""


class StabilityAblation(Config):
    """Plain Muon's logits run away, MuonClip's do not (arXiv:2507.20534, figure 2)."""

    base: TrainingArm = TrainingArm(optim=OptimConfig(lr=0.1, weight_decay=0.0))
    """The setting: a rate far too high and no decay, so that so small a model shows it."""
    tau: float = Field(100.0, gt=0)
    """MuonClip's threshold."""
    seeds: int = Field(3, ge=1)
    """Initial weights and orders of the text."""


class HarmlessnessAblation(Config):
    """What low thresholds cost (arXiv:2507.20534, appendix D, figure 12: tau = 30, nothing)."""

    base: TrainingArm = TrainingArm()
    """The setting: an ordinary rate."""
    taus: tuple[float, ...] = (6.0, 3.0, 1.0)
    """Thresholds, all below what the logits reach without a clip."""
    seeds: int = Field(5, ge=2)
    """Initial weights and orders of the text."""


class HeadsAblation(Config):
    """Rescale the heads that exceed the threshold, or their whole layers."""

    base: TrainingArm = TrainingArm()
    """The setting: an ordinary rate."""
    taus: tuple[float, ...] = (6.0, 3.0)
    """Thresholds of both forms."""
    seeds: int = Field(5, ge=2)
    """Initial weights and orders of the text."""


_LARGE = ModelShape(
    vocab_size=320,
    num_layers=3,
    hidden_size=96,
    num_heads=4,
    q_lora_rank=48,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=24,
    ffn_hidden_size=256,
    moe_ffn_hidden_size=96,
    num_experts=4,
)
_ON_TEXT = TrainingArm(schedule=Schedule(num_steps=240), evaluations=8)
_RATES: tuple[float, ...] = (5e-3, 1e-2, 2e-2)


class LearningAblation(Config):
    """Tokens to equal loss: MuonClip, AdamW and torch.optim.Muon (arXiv:2502.16982, section 3.2).

    Every optimizer's rate is tuned on seed 0, at a part of the tokens and a full schedule.
    """

    sizes: dict[str, TrainingArm] = Field(
        default_factory=lambda: {
            "small": _ON_TEXT,
            "large": _ON_TEXT.model_copy(update={"shape": _LARGE}),
        }
    )
    """Models by name, and what all optimizers have in common."""
    rates: dict[str, tuple[float, ...]] = Field(
        default_factory=lambda: dict.fromkeys(("MuonClip", "AdamW", "torch.optim.Muon"), _RATES)
    )
    """Grid of peak rates by optimizer."""
    tuning_frac: float = Field(0.4, gt=0, le=1)
    """Share of the steps that a rate is judged after."""
    budgets: tuple[float, ...] = (0.5, 0.7)
    """Shares of the tokens after which MuonClip ends too, each with a schedule of its own."""
    seeds: int = Field(3, ge=2)
    """Initial weights and orders of the text."""


class CriticAblation(Config):
    """A critic refreshed on on-policy verifiable pairs, against the one that it began as."""

    rl: RlConfig = RlConfig(
        num_iterations=20,
        problems_per_iteration=16,
        updates_per_iteration=4,
        validation_every=20,
        validation_per_family=8,
        critic=CriticConfig(
            show="none",
            max_characters=300,
            max_comparisons=16,
            decoys=2,
            refresh_weight=1.0,
            refresh_pairs=32,
            frozen_every=1,
        ),
    )
    """Shorter than the tiny recipe, and four updates an iteration, each of which refreshes."""
    open_families: tuple[str, ...] = ("repeat_word", "pick_word", "follow_format")
    """Whose problems are asked without their verifiers, too: what the critic ranks."""
    open_problems: int = Field(60, ge=10)
    """So many of them."""
    seeds: int = Field(3, ge=2)
    """Orders of problems and samples; the weights at the start are the run's."""


_PRACTICE_ARMS: dict[str, dict[str, object]] = {
    "K2": {},
    **{kind: {"objective": {"kind": kind}} for kind in ("GRPO", "DrGRPO", "GSPO", "CISPO")},
    "K2, budgets": {"length_weight": 0.5, "length_after": 4, "budget_quantile": 0.9},
    "K2, partial": {"iteration_tokens": 1500},
}


class PracticeAblation(Config):
    """Objectives, budgets and partial rollouts: reward at equal tokens, from a run's weights."""

    rl: RlConfig = RlConfig(
        num_iterations=16,
        decay_iterations=16,
        problems_per_iteration=12,
        updates_per_iteration=2,
        validation_every=16,
        validation_per_family=32,
        keep="last",
    )
    """Half the tiny recipe's iterations and problems, and two updates in each, so that ratios of
    policies are not all 1."""
    families: tuple[str, ...] = ("compare", "no_tool", "sum_with_tool", "lookup_chain")
    """Asked alike: where a tiny model gains by practice."""
    arms: dict[str, dict[str, object]] = _PRACTICE_ARMS
    """What each changes; the first is what others are held against. A budget is what nine of ten
    passed samples needed, times the default slack; 1,500 tokens are some two thirds of what whole
    dialogues take."""
    late: int = Field(4, ge=1)
    """Iterations that a reward is the mean of."""
    seeds: int = Field(3, ge=2)
    """Orders of problems and samples; the weights at the start are the run's."""


_BREVITY_ARMS = {name: _PRACTICE_ARMS[name] for name in ("K2", "K2, budgets")}


class BrevityAblation(PracticeAblation):
    """Budgets from weights that learned to say more than is asked."""

    families: tuple[str, ...] = ("sum_with_tool", "product_with_tool", "lookup", "lookup_chain")
    """Whose answers are numbers, with words around them or not."""
    arms: dict[str, dict[str, object]] = _BREVITY_ARMS
    remark: str = ". I hope that this helps you."
    """Behind every other answer of the dialogues that the weights learn it from."""
    sft: SftConfig = SftConfig(
        optim=OptimConfig(lr=3e-3), schedule=Schedule(num_steps=60, decay_frac=0.5)
    )
    """Of the run's finetuned weights, on these dialogues."""

    def name_talkative(self, digest: str) -> str:
        """A name that equal weights share, tuned from those of this digest."""
        said = [digest, self.remark, self.sft.model_dump_json()]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
