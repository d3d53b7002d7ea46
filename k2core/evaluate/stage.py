"""The stage: three checkpoints, the same held-out problems and text, one served after another."""

from functools import partial
from pathlib import Path

from k2core.chat import ChatCodec
from k2core.evaluate.answers import samples_of
from k2core.evaluate.baseline import read_baseline
from k2core.evaluate.choices import draw_choices
from k2core.evaluate.examination import Examination
from k2core.evaluate.overlap import measure_overlap
from k2core.evaluate.perplexity import HeldOutText, cut_windows
from k2core.evaluate.scoring import score
from k2core.evaluate.show import (
    baseline_rows,
    choice_rows,
    draw_rates,
    failure_rows,
    overlap_rows,
    perplexity_rows,
    rate_rows,
    variant_rows,
)
from k2core.model.config import load_shape
from k2core.model.hf import write_json
from k2core.problems import fit_context, held_out_problems, vary
from k2core.rates import pool
from k2core.sandbox import Sandbox
from k2core.store import Draft, Workspace
from k2core.tokens import TokenStream
from schemas.artifacts import Checkpoint, TokenCorpus, TrajectorySet
from schemas.chat import Problem
from schemas.evaluate import CHECKPOINTS, EvaluateConfig, Scores
from schemas.placement import Placement
from schemas.problems import ProblemsConfig


def evaluate_checkpoints(
    config: EvaluateConfig,
    problems: ProblemsConfig,
    base: Checkpoint,
    sft: Checkpoint,
    policy: Checkpoint,
    tokens: TokenCorpus,
    trajectories: TrajectorySet,
    placement: Placement,
    workspace: Workspace,
) -> Draft:
    """Grade base, SFT and RL checkpoints; a killed run resumes after its last checkpoint.

    Raises:
        SandboxUnavailableError: no isolation works here; before any other work.
        ValueError: the checkpoints' shapes differ.
    """
    from k2core.engines.ray import serve

    artifacts = dict(zip(CHECKPOINTS, (base, sft, policy), strict=True))
    folders = {name: workspace.open(artifact) for name, artifact in artifacts.items()}
    models = {n: partial(workspace.store.open, a) for n, a in artifacts.items()}  # on its node
    context = load_shape(folders["base"]).max_position_embeddings
    codec = ChatCodec(folders["base"])
    posed = fit_context(_problems_of(problems, config), codec, context)
    if left_out := posed.rows(context):
        workspace.report.table("Problems left out", left_out)
    asked = samples_of(posed.kept, config.samples_per_problem)
    corpus, dialogues = workspace.open(tokens), workspace.open(trajectories)
    texts = read_held_out(corpus, codec, context, config)
    overlaps = measure_overlap(config, posed.kept, corpus, dialogues, codec)
    with (
        Sandbox.start(unsafe=config.unsafe_sandbox) as sandbox,
        serve(
            models["base"],
            placement.serving,
            max_model_len=context,
            max_num_seqs=config.max_num_seqs,
        ) as engine,
    ):
        choices = draw_choices(texts, codec, problems, config.choices_per_task)
        examination = Examination(
            config, asked, texts, choices, engine, sandbox, context, workspace
        )
        for name in CHECKPOINTS:
            examination.examine(name, models[name])
    answers = examination.collect()
    scores = score(
        answers,
        artifacts,
        examination.perplexities(),
        examination.choices(),
        overlaps,
        config.temperature,
    )
    write_json(workspace.out / "scores.json", scores.model_dump(mode="json"))
    _report(scores, workspace)
    faulty = sum(int(rows["faulty"].sum()) for rows in answers.values())
    return Draft(workspace.out, {**_count(scores), "faulty": float(faulty)})


def _problems_of(problems: ProblemsConfig, config: EvaluateConfig) -> list[Problem]:
    held_out = held_out_problems(problems)
    return [*held_out, *vary(held_out, config.variants_per_family)]


def read_held_out(
    folder: Path, codec: ChatCodec, context: int, config: EvaluateConfig
) -> dict[str, HeldOutText]:
    """Each domain's held-out text, cut into windows."""
    stream = TokenStream(folder, seed=0, sequence_length=16)
    return {
        # An engine that scores a window samples one token more.
        domain: cut_windows(
            stream.held_out(domain), context - 1, config.heldout_tokens, codec.decode
        )
        for domain, about in sorted(stream.manifest.domains.items())
        if about.heldout_tokens > 1
    }


def _report(scores: Scores, workspace: Workspace) -> None:
    report = workspace.report
    report.plot("Pass rates by group", draw_rates("held-out problems", scores.groups))
    report.plot("Pass rates by family", draw_rates("held-out problems", scores.families))
    report.table("Pass rates", rate_rows(scores))
    report.table("Conditions", variant_rows(scores))
    report.table("Overlap with training data", overlap_rows(scores.overlaps))
    report.table("Why answers failed", failure_rows(scores))
    report.table("Standing baseline", baseline_rows(read_baseline()))
    report.table("Likeliest of four", choice_rows(scores))
    report.table("Perplexity", perplexity_rows(scores.perplexity))
    for step, name in enumerate(CHECKPOINTS):
        values = {f"pass_rate/{f}": rates[name].rate for f, rates in scores.families.items()}
        values |= {f"perplexity/{d}": by[name].perplexity for d, by in scores.perplexity.items()}
        report.metrics(step, values)


def _count(scores: Scores) -> dict[str, float]:
    overall = {name: pool(r[name] for r in scores.families.values()) for name in CHECKPOINTS}
    return {
        "answers": sum(rate.total for rate in overall.values()),
        **{f"pass_rate_{name}": round(rate.rate, 4) for name, rate in overall.items()},
        "families_gained_by_rl": sum(scores.mark(f) == "+" for f in scores.families),
        "families_lost_by_rl": sum(scores.mark(f) == "-" for f in scores.families),
    }
