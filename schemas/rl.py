"""Reinforcement learning on verifiable rewards (arXiv:2507.20534, section 3.2)."""

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from schemas.base import Config
from schemas.objective import ObjectiveConfig
from schemas.optim import OptimConfig
from schemas.rubrics import CriticConfig


class RlConfig(Config):
    """K2's objective on on-policy dialogues; K and tau are undisclosed and chosen here."""

    extent: ClassVar[frozenset[str]] = frozenset({"num_iterations", "max_truncated_frac"})

    num_iterations: int = Field(32, ge=1)
    """Rounds of sampling, updating the policy, and serving the new weights. Raised on a finished
    run, it goes on from there, to the bytes that an uninterrupted run would have."""
    decay_iterations: int = Field(32, ge=1)
    """Rounds over which learning rate and temperature fall; later ones keep the last values."""
    num_problems: int = Field(1024, ge=1)
    """Training problems to choose from: the first of the training split."""
    family_factors: dict[str, NonNegativeFloat] = Field({})
    """Family -> times that its weight in `problems` counts among these; synthesis keeps to the
    weight. For families that are seldom asked, and that the others' gradients would undo."""
    problems_per_iteration: int = Field(24, ge=1)
    """Problems an iteration, from the training split."""
    samples_per_problem: int = Field(8, ge=2)
    """K: dialogues a problem; their mean reward is the baseline."""
    updates_per_iteration: int = Field(1, ge=1)
    """Optimizer steps that an iteration's samples are dealt to."""
    optim: OptimConfig = OptimConfig(lr=8e-4, weight_decay=0.0)
    """The optimizer."""
    final_lr_frac: float = Field(0.2, gt=0, le=1)
    """Learning rate after `decay_iterations`, as a share of the first's; linear until then."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What is minimised."""
    temperature: float = Field(1.0, gt=0, le=2)
    """Sampling temperature of the first iteration."""
    final_temperature: float = Field(0.8, gt=0, le=2)
    """After `decay_iterations`; linear until then (K2: high early, decayed later)."""
    max_tokens: int | None = Field(None, ge=16)
    """Longest dialogue, its prompt included: what engines and trainer must hold; None: as long as
    the model's positions reach."""
    iteration_tokens: int | None = Field(None, ge=1)
    """Tokens that an iteration samples, over all engines: dialogues that are unfinished then go on
    in the next, under its weights, and only what these write is learned from (partial rollout,
    arXiv:2501.12599, section 2.6.2). None: each iteration plays all its dialogues to their end."""
    staleness: int = Field(0, ge=0, le=1)
    """Updates that the weights which sample may be behind those that learn. 1: while the trainer
    learns from an iteration, engines draw the next one's samples with the weights of before; they
    need devices of their own. The iteration after the last is drawn, too: a longer run goes on."""
    enforcer: bool = False
    """Hold every turn to K2's format and its tools' schemas while it is sampled, in validation too.
    What is improved is then the model under the enforcer: pi and pi_old are of the tokens that it
    left."""
    max_repeats: int = Field(0, ge=0)
    """Times that the same few tokens may follow one another before a dialogue is cut off, as if its
    budget were spent; 0: any number."""
    token_budgets: dict[str, int] = Field({})
    """Family -> tokens that a dialogue may take; others keep their problems' own budget."""
    budget_quantile: float | None = Field(None, gt=0, le=1)
    """Learn a family's budget: tokens that this share of its passed samples needed; never more than
    a problem's own. None keeps to what is given."""
    budget_slack: float = Field(1.25, ge=1)
    """Times that."""
    length_weight: float = Field(0.0, ge=0)
    """Of the reward for answers shorter than others to the same problem (arXiv:2501.12599, section
    2.3.3); 0 turns it off."""
    length_after: int = Field(8, ge=0)
    """Iterations before budgets are learned and length costs."""
    max_truncated_frac: float = Field(1.0, gt=0, le=1)
    """Most of a step's samples that may be expected to be cut off, by what their families did so
    far; above it the run pauses before the step is spent. Raised, it goes on from there."""
    over_budget_reward: float = Field(-0.25, ge=-1, le=0)
    """Reward of a dialogue that its budget cut off (K2 section 3.2.3); a wrong answer earns 0."""
    malformed_reward: float = Field(-0.25, ge=-1, le=0)
    """Of one that breaks the call format: never more than running out of budget."""
    refill_rounds: int = Field(0, ge=0)
    """Times that problems whose samples all earned alike are replaced by others within an
    iteration (dynamic sampling, arXiv:2503.14476, section 3.2)."""
    max_faulty_frac: float = Field(0.1, ge=0, lt=1)
    """Share of an iteration's problems that may be dropped because an environment, a judge or the
    engine failed; more stops the run, with the reasons."""
    validation_every: int = Field(8, ge=0)
    """Iterations between examinations on validation problems; 0 never examines."""
    validation_per_family: int = Field(8, ge=1)
    """Validation problems of each family."""
    validation_temperature: float = Field(1.0, ge=0, le=2)
    """Of those examinations, always the same, so that their curve shows learning alone."""
    keep: Literal["best", "last"] = "best"
    """Which weights become the policy: the latest that none was better than by a standard error of
    its validation, or the last iteration's."""
    ptx_weight: float = Field(0.05, ge=0)
    """Weight of the language-model loss on accepted trajectories (PTX); 0 turns it off."""
    ptx_dialogues: int = Field(32, ge=1)
    """Accepted trajectories mixed into each update."""
    old_logprobs: Literal["engine", "trainer"] = "engine"
    """Whose log pi_old: the engine's, as sampled, or a forward pass of the trainer's."""
    mismatch: Literal["none", "truncate", "mask"] = "none"
    """What becomes of samples that the trainer finds more or less likely than the engine did, by
    their mean ratio a token: weighted by it up to a limit, or left out beyond it. It takes the
    trainer's log pi_old to see it; the engine's as pi_old have the mismatch within the ratio."""
    mismatch_limit: float = Field(1.1, gt=1)
    """That limit, and its inverse."""
    mismatch_every: int = Field(8, ge=1)
    """Iterations between measurements of the mismatch where the engine's log pi_old are taken."""
    max_mismatch: float = Field(0.5, gt=0)
    """Most that the mismatch may weigh in the objective before any update, as a share of the
    advantages' RMS; beyond it the objective learns the mismatch, and the run stops."""
    balance_experts: bool = False
    """Go on moving the router's balancing bias; it moves the policy in a direction that no reward
    chose (Moonlight's last stage, too, leaves it: arXiv:2502.16982)."""
    priority_floor: float = Field(0.05, gt=0, le=1)
    """Least sampling weight of a problem; above it, 1 - success rate (arXiv:2501.12599, 2.3.4)."""
    min_success_rate: float = Field(0.05, ge=0, lt=1)
    """Problems that are solved less often get the floor: moderate difficulty only (K2 3.2.1)."""
    critic: CriticConfig | None = None
    """The policy as its own critic, for problems whose verifier is `rubric`; none has none."""
    max_num_seqs: int = Field(20, ge=1)
    """Dialogues in flight together, an engine. Fewer than its share of an iteration's, so that one
    that ends makes room for another; a large model on GPUs takes more."""
    unsafe_sandbox: bool = False
    """Run code without isolation where no sandbox works; never on a machine that matters."""
    seed: int = Field(0, ge=0)
    """Decides the problems, the samples and their order."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.updates_per_iteration > self.problems_per_iteration:
            raise ValueError(
                f"updates_per_iteration={self.updates_per_iteration} exceeds "
                f"problems_per_iteration={self.problems_per_iteration}: a problem's samples stay "
                "in one update"
            )
        if self.problems_per_iteration > self.num_problems:
            raise ValueError(
                f"problems_per_iteration={self.problems_per_iteration} exceeds num_problems="
                f"{self.num_problems}: an iteration's problems are all different"
            )
        if not self.malformed_reward <= self.over_budget_reward:
            raise ValueError(
                f"malformed_reward={self.malformed_reward} exceeds over_budget_reward="
                f"{self.over_budget_reward}: breaking the format would pay"
            )
        if self.iteration_tokens and self.refill_rounds:
            raise ValueError(
                f"iteration_tokens={self.iteration_tokens} caps an iteration, and refill_rounds="
                f"{self.refill_rounds} would go on with it: set one of them"
            )
        if self.iteration_tokens and self.critic:
            raise ValueError(
                "iteration_tokens ends a problem's samples in different iterations, and rl.critic "
                "ranks them together: set one of them"
            )
        if self.staleness and self.critic:
            raise ValueError(
                f"staleness={self.staleness} has engines sample during an update, and rl.critic "
                "has them serve the frozen critic then: set one of them"
            )
        if self.iteration_tokens and self.enforcer:
            raise ValueError(
                "iteration_tokens goes on with half a turn, and a grammar holds whole ones: set it "
                "or enforcer, not both"
            )
        if self.mismatch != "none" and self.old_logprobs == "engine":
            raise ValueError(
                f'mismatch="{self.mismatch}" weighs samples by the trainer\'s log p, which '
                'old_logprobs="engine" does not ask for: set old_logprobs="trainer", or '
                'mismatch="none"'
            )
        if self.max_repeats == 1:
            raise ValueError("max_repeats=1 would stop at once: 2 or more, or 0 for any number")
        for family, budget in self.token_budgets.items():
            if budget < 1:
                raise ValueError(f"token_budgets.{family}={budget} must be at least 1")
        return self
