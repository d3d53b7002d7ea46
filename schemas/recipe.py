"""A recipe: one config a stage, and what they share, stated once.

The sections of `Recipe` are the house's one list of stages: `STAGES`. By its name a stage has
`schemas/NAME.py`, `k2core/NAME/`, `tasks/NAME.py` and `tests/k2core/NAME/`.
"""

from typing import Self

from pydantic import Field, model_validator

from schemas.adopt import AdoptConfig
from schemas.base import Config
from schemas.clean import CleanConfig
from schemas.evaluate import EvaluateConfig
from schemas.ingest import IngestConfig
from schemas.model import ModelShape
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig
from schemas.problems import ProblemsConfig
from schemas.release import ReleaseConfig
from schemas.rephrase import RephraseConfig
from schemas.rl import RlConfig
from schemas.rubrics import CriticTemplate
from schemas.sft import SftConfig
from schemas.synthesize import SynthesizeConfig
from schemas.tokenize import TokenizeConfig


class Shared(Config):
    """What stages share: a task asks for a field of these by its type."""

    name: str = Field("tiny", pattern=r"^[a-z0-9_\-]+$")
    """Name of the recipe, for people."""
    model: ModelShape = ModelShape()
    """The model's shape, shared by every stage that builds or serves it."""
    problems: ProblemsConfig = ProblemsConfig()
    """What is asked of agents: training and held-out splits, shared by five stages."""
    placement: Placement = Placement()
    """Where it runs; changes no result and no cache key."""


class Recipe(Shared):
    """All of a pipeline, the stages in the order in which they first can run."""

    ingest: IngestConfig = IngestConfig()
    """Which sources, how much of each."""
    clean: CleanConfig = CleanConfig()
    """Filters, deduplication, privacy and decontamination."""
    rephrase: RephraseConfig = RephraseConfig()
    """The rewriting model, its prompts and the fidelity gate."""
    adopt: AdoptConfig = AdoptConfig()
    """A model that is brought instead of pre-trained."""
    tokenize: TokenizeConfig = TokenizeConfig()
    """Vocabulary and mixture."""
    pretrain: PretrainConfig = PretrainConfig()
    """MuonClip, schedule, batch."""
    synthesize: SynthesizeConfig = SynthesizeConfig()
    """Tools, agents, simulated users and how many trajectories."""
    sft: SftConfig = SftConfig()
    """Supervised finetuning on trajectories."""
    rl: RlConfig = RlConfig()
    """Reinforcement learning on verifiable rewards."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Held-out problems and text."""
    release: ReleaseConfig = ReleaseConfig()
    """What is published."""

    @property
    def unused(self) -> tuple[str, ...]:
        """Stages that it leaves out: a base is brought, or pre-trained on texts and rewrites."""
        if self.adopt.source:
            return ("rephrase", "pretrain")
        return ("adopt",) if any(self.rephrase.documents.values()) else ("rephrase", "adopt")

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that it runs."""
        return tuple(stage for stage in STAGES if stage not in self.unused)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.adopt.source and self.tokenize.vocab_size != self.model.vocab_size:
            raise ValueError(
                f"tokenize.vocab_size={self.tokenize.vocab_size} differs from model.vocab_size="
                f"{self.model.vocab_size}: the embedding needs one row a token"
            )
        wanted = {name for name, share in self.tokenize.mixture.items() if share}
        if strange := sorted(wanted - self.ingest.domains):
            raise ValueError(
                f"tokenize.mixture has a share for {strange[0]!r}, and ingest collects "
                f"{', '.join(sorted(self.ingest.domains))}"
            )
        if self.rl.staleness and self.placement.serving.sleep:
            raise ValueError(
                f"rl.staleness={self.rl.staleness} has engines sample while the trainer computes, "
                "and placement.serving.sleep gives it their memory then: set one of them"
            )
        asked, taught = self.rl.critic, self.sft.critic
        for field in CriticTemplate.model_fields if asked and taught else ():
            if getattr(asked, field) != getattr(taught, field):
                raise ValueError(
                    f"rl.critic.{field} differs from sft.critic.{field}: a critic is asked in the "
                    "words that it was taught in"
                )
        longest = self.model.max_position_embeddings
        for stage in {"pretrain", "sft"} - set(self.unused):
            length = getattr(self, stage).sequence_length
            if length > longest:
                raise ValueError(
                    f"{stage}.sequence_length={length} exceeds model.max_position_embeddings="
                    f"{longest}"
                )
        for phase in () if "pretrain" in self.unused else self.pretrain.phases:
            if self.pretrain.length_of(phase) > longest:
                raise ValueError(
                    f"phase {phase.name!r} of pretrain: sequence_length={phase.sequence_length} "
                    f"exceeds model.max_position_embeddings={longest}"
                )
        return self


STAGES = tuple(name for name in Recipe.model_fields if name not in Shared.model_fields)
"""Every stage; all that goes through the stages goes through these."""
