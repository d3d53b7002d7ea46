"""The stage: from a tuned checkpoint to a policy that earns more, and the log of its rollouts."""

import contextlib
import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import polars as pl

from k2core.agents import Opening
from k2core.chat import ChatCodec, read_dialogues
from k2core.engines.learner import Learner, below
from k2core.model.config import load_shape
from k2core.model.hf import describe_checkpoint
from k2core.problems import (
    describe_families,
    fit_context,
    training_problem,
    validation_problems,
)
from k2core.rewards import Verdict, judge_dialogues
from k2core.rewards.telling import check_own_tests
from k2core.rl.critic.start import check_rubrics, open_critic, verified
from k2core.rl.history import History
from k2core.rl.loop import run_iterations
from k2core.rl.masks import TurnMasks
from k2core.rl.objectives.registry import load_objective
from k2core.rl.playing import Playing
from k2core.rl.practice import Practice
from k2core.rl.samples import Sample
from k2core.rl.state import IterationStates
from k2core.sandbox import CodeRunner
from k2core.store import Draft, Workspace
from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.chat import Problem
from schemas.placement import Placement
from schemas.problems import FAMILY_GROUPS, ProblemsConfig
from schemas.rl import RlConfig


class PolicyDrafts(NamedTuple):
    """What the stage makes."""

    policy: Draft
    rollouts: Draft


def train_policy(
    config: RlConfig,
    problems: ProblemsConfig,
    sft: Checkpoint,
    trajectories: TrajectorySet,
    placement: Placement,
    workspace: Workspace,
) -> PolicyDrafts:
    """Improve a policy on verifiable rewards; a killed run resumes at its iteration.

    Raises:
        SandboxUnavailableError: no isolation works here; before any iteration.
        FloatingPointError: the loss is not finite; names the iteration.
    """
    from k2core.engines.beside import run_beside_engines

    inputs = (config, problems, sft, trajectories, placement, workspace)
    return run_beside_engines(train_on_ranks, *inputs, placement=placement, report=workspace.report)


def train_on_ranks(
    config: RlConfig,
    problems: ProblemsConfig,
    sft: Checkpoint,
    trajectories: TrajectorySet,
    placement: Placement,
    workspace: Workspace,
) -> PolicyDrafts:
    """`train_policy` on one of its ranks: rank 0 leads, the others are the model with it."""
    from k2core.engines.ray import engines_ahead
    from k2core.engines.torchrun.group import join_group

    with contextlib.ExitStack() as stack:
        if join_group(placement).rank == 0:
            stack.enter_context(engines_ahead(placement.serving))
        from k2core.engines.megatron.lead import lead
        from k2core.engines.megatron.trainer import Trainer

        start = workspace.open(sft)
        shape = load_shape(start)
        trained = shape.with_router_bias(moving=config.balance_experts)
        trainer = Trainer(
            trained, config.optim, seed=config.seed, checkpoint=start, placement=placement
        )
        if trainer.ranks.local_rank == 0:  # of the stage's machine, or another one
            shutil.rmtree(workspace.out, ignore_errors=True)
            workspace.out.mkdir(parents=True)

        def work(learner: Learner) -> PolicyDrafts:
            history = _practise(config, problems, sft, trajectories, placement, workspace, learner)
            states = IterationStates(workspace.states, workspace.scratch / "best")
            last = _kept(history, config) == len(history.iterations)
            if last or not states.copy_best(workspace.out / "policy"):
                learner.export_checkpoint(
                    workspace.scratch / "policy", below(workspace.out / "policy")
                )
            training = {
                "stage": "rl",
                "config": config.model_dump(mode="json"),
                "sft": sft.digest,
                "trajectories": trajectories.digest,
                "kept_iteration": _kept(history, config),
                "history": history.model_dump(mode="json"),
            }
            describe_checkpoint(workspace.out / "policy", shape, start, training)
            policy = Draft(workspace.out / "policy", _count(history, config))
            return PolicyDrafts(policy, _collect_rollouts(config, workspace))

        drafts, ranks = lead(trainer, work), trainer.ranks.patient()
        return PolicyDrafts(*(workspace.store.send_together(draft, ranks) for draft in drafts))


def _practise(
    config: RlConfig,
    problems: ProblemsConfig,
    sft: Checkpoint,
    trajectories: TrajectorySet,
    placement: Placement,
    workspace: Workspace,
    learner: Learner,
) -> History:
    """All iterations, with engines and a sandbox."""
    from k2core.engines.ray import serve
    from k2core.engines.ray.sandboxes import open_runner

    start = workspace.open(sft)
    codec, shape = ChatCodec(start), load_shape(start)
    context = min(shape.max_position_embeddings, config.max_tokens or 10**9)
    pool = fit_context(practice_problems(config, problems), codec, context)
    check_rubrics(config, pool.kept)
    asked = verified(validation_problems(problems, config.validation_per_family))
    validation = fit_context(asked, codec, context)
    if problems.sources.all:
        workspace.report.table("Problems of one's own", describe_families(problems))
    if left_out := pool.rows(context) + validation.rows(context):
        workspace.report.table("Problems left out", left_out)
    texts = []
    if config.ptx_weight:
        texts = read_dialogues(workspace.open(trajectories), codec, max_tokens=context)
    with (
        open_runner(unsafe=config.unsafe_sandbox) as sandbox,
        Opening(sandbox) as opening,
        serve(
            partial(workspace.store.open, sft),
            placement.serving,
            max_model_len=context,
            max_num_seqs=config.max_num_seqs,
        ) as engine,
    ):
        check_own_tests(problems, sandbox)
        check = partial(judge, sandbox=sandbox)
        critic = open_critic(config, codec, engine, context, check, start)
        playing = Playing(engine, codec, opening, context, config.max_repeats, config.enforcer)
        practice = Practice(
            config,
            load_objective(config.objective),
            pool.kept,
            validation.kept,
            texts,
            learner,
            engine,
            playing.play,
            critic.judge if critic else check,
            codec.pad_id,
            placement.num_ranks,
            critic.loop if critic else None,
            playing.usages,
            playing.play_part,
            playing.expected,
            TurnMasks(start, shape.vocab_size).of if config.enforcer else None,
        )
        return run_iterations(practice, workspace)


def practice_problems(config: RlConfig, problems: ProblemsConfig) -> list[Problem]:
    """The first of the training split, each once, with its family's token budget.

    Raises:
        ValueError: a budget or factor is of a family that is not there, or all weights are 0.
    """
    _check_families("token_budgets", config.token_budgets, problems.weights)
    _check_families("family_factors", config.family_factors, FAMILY_GROUPS | problems.weights)
    asked = problems.scale(config.family_factors)
    if not any(asked.weights.values()):
        raise ValueError("rl.family_factors leaves no family a weight above 0")
    pool = (training_problem(asked, index) for index in range(config.num_problems))
    return [
        p.model_copy(update={"max_tokens": config.token_budgets.get(p.family, p.max_tokens)})
        for p in {p.problem_id: p for p in pool}.values()
    ]


def _check_families(field: str, named: Iterable[str], known: Iterable[str]) -> None:
    if strange := sorted(set(named) - set(known)):
        raise ValueError(
            f"rl.{field} names {', '.join(strange)}; the families are {', '.join(known)}"
        )


def judge(samples: Sequence[Sample], sandbox: CodeRunner) -> list[Verdict]:
    """Verify every sample, code in the sandbox."""
    return judge_dialogues([sample.dialogue for sample in samples], sandbox)


def _collect_rollouts(config: RlConfig, workspace: Workspace) -> Draft:
    folder = workspace.out / "rollouts"
    (folder / "rollouts").mkdir(parents=True)
    states = IterationStates(workspace.states, workspace.scratch / "best")
    for number, path in enumerate(states.rollouts, start=1):
        shutil.copyfile(path, folder / "rollouts" / f"iteration-{number:05d}.parquet")
    rows = pl.scan_parquet(folder / "rollouts" / "*.parquet").select(pl.len()).collect().item()
    return Draft(folder, {"iterations": config.num_iterations, "rollouts": rows})


def _kept(history: History, config: RlConfig) -> int:
    """Iterations that the published weights have practised."""
    best = history.best if config.keep == "best" else None
    return len(history.iterations) if best is None else best


def _count(history: History, config: RlConfig) -> dict[str, float]:
    first, last = history.iterations[0], history.iterations[-1]
    examined = {
        name: round(found.rate, 4)
        for name, found in (("start", first.validation), ("last", history.final))
        if found
    }
    return {
        "kept_iteration": _kept(history, config),
        **{f"validation_{name}": rate for name, rate in examined.items()},
        "dropped_problems": sum(sum(i.dropped.values()) for i in history.iterations),
        "iterations": len(history.iterations),
        "reward_first": round(first.reward, 4),
        "reward_last": round(last.reward, 4),
        "length_last": round(last.length, 2),
        "over_budget_frac_last": round(last.over_budget_frac, 4),
    }
