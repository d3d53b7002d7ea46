"""Experiments of the reports in miniature: `python -m workflows.ablations NAME`."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.home import ROOT, home

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from k2core.rephrase.start import Rephraser
    from workflows.ablations.configs import PracticeAblation, TrainingArm
    from workflows.ablations.kept import Result
    from workflows.ablations.policies import CommonStart

app = typer.Typer(
    help="Experiments in miniature: a choice of the recipe against its alternatives, with seeds.",
    no_args_is_help=True,
)
Seeds = Annotated[int, typer.Option(min=2, help="Initial weights and orders of the text.")]
Run = Annotated[str, typer.Option(help="A finished run: its finetuned weights.")]
Runs = Annotated[int, typer.Option(help="At most so many arms now; the rest on a later call.")]
_MUONCLIP = ROOT / "docs" / "muonclip.md"


@app.command()
def rephrase(
    seeds: Annotated[int, typer.Option(min=1, help="Worlds, each with its own weights.")] = 3,
    runs: Runs = 99,
) -> None:
    """Repeat a text ten times, or rewrite it? Into docs/ (five minutes a seed; resumes).

    Rewrites are by templates and by SmolLM2 (vLLM: two of the minutes). Both they and finished
    arms are kept in K2_HOME: a killed call goes on where it was.
    """
    from k2core.rephrase.start import start_rephraser
    from workflows.ablations.configs import RephrasingAblation
    from workflows.ablations.kept import keep_result, read_result
    from workflows.ablations.rephrasing import draw_arms, run_arm, tabulate_arms
    from workflows.ablations.rewrites import tabulate_rewrites
    from workflows.ablations.worlds import ARMS, make_world, name_result

    config, kept = RephrasingAblation(seeds=seeds), home() / "ablations" / "rephrase"
    models = home() / "store" / "models"
    with ExitStack() as stack:

        @cache
        def start() -> "Rephraser":
            return stack.enter_context(
                closing(start_rephraser(config.rewriter, models, config.serving))
            )

        worlds = [make_world(config, s, kept / "rewrites", start) for s in range(seeds)]
    names = {
        (world.seed, arm): kept / f"{name_result(config, world, arm)}.json"
        for world in worlds
        for arm in ARMS
    }
    missing = [key for key, path in names.items() if not path.exists()]
    for seed, arm in missing[:runs]:
        result = run_arm(config, worlds[seed], arm, kept / "scratch")
        keep_result(names[seed, arm], result)
        typer.echo(json.dumps(result))
    if len(missing) > runs:
        raise typer.Exit
    results = [read_result(path) for path in names.values()]
    page = ROOT / "docs" / "rephrasing.md"
    rewrites = [rewrite for world in worlds for some in world.rewrites for rewrite in some]
    faults = [fault for world in worlds for some in world.faults for fault in some]
    _put_table(page, "rewrites", tabulate_rewrites(rewrites, faults))
    _publish(page, "table", tabulate_arms(results), draw_arms(results), "rephrasing")


@app.command()
def stability(seeds: Seeds = 3, runs: Runs = 99) -> None:
    """Plain Muon's attention logits run away, MuonClip's do not (two minutes; resumes)."""
    from workflows.ablations.clipping import draw_stability, stability_arms, tabulate_stability
    from workflows.ablations.configs import StabilityAblation

    config = StabilityAblation(seeds=seeds)
    results = _train_named(stability_arms(config), runs)
    table, figure = tabulate_stability(config, results), draw_stability(config, results)
    _publish(_MUONCLIP, "stability", table, figure, "muonclip-stability")


@app.command()
def harmlessness(seeds: Seeds = 5, runs: Runs = 99) -> None:
    """What very low thresholds cost against no clip (five minutes; resumes)."""
    from workflows.ablations.clipping import draw_losses, harmlessness_arms, tabulate_losses
    from workflows.ablations.configs import HarmlessnessAblation

    config = HarmlessnessAblation(seeds=seeds)
    results = _train_named(harmlessness_arms(config), runs)
    heads = config.base.shape.num_layers * config.base.shape.num_heads
    table, figure = tabulate_losses(results, heads), draw_losses(results)
    _publish(_MUONCLIP, "harmlessness", table, figure, "muonclip-harmlessness")


@app.command("per-head")
def per_head(seeds: Seeds = 5, runs: Runs = 99) -> None:
    """Rescale the heads over the threshold, or their whole layers (six minutes; resumes)."""
    from workflows.ablations.clipping import draw_losses, heads_arms, tabulate_losses
    from workflows.ablations.configs import HeadsAblation

    config = HeadsAblation(seeds=seeds)
    results = _train_named(heads_arms(config), runs)
    heads = config.base.shape.num_layers * config.base.shape.num_heads
    table, figure = tabulate_losses(results, heads), draw_losses(results)
    _publish(_MUONCLIP, "per-head", table, figure, "muonclip-per-head")


@app.command()
def learning(seeds: Seeds = 3, runs: Runs = 99) -> None:
    """Tokens to equal loss: MuonClip, tuned AdamW, torch.optim.Muon (15 minutes; resumes)."""
    from workflows.ablations import learning
    from workflows.ablations.configs import LearningAblation

    config, results = LearningAblation(seeds=seeds), dict[learning.Final, "Result"]()
    tried, left = dict[learning.Tuning, "Result"](), Left(runs)
    for size in config.sizes:  # a size that is finished is shown though the next is not
        tuning = learning.tuning_arms(config, size)
        tried |= zip(tuning, _train(list(tuning.values()), left), strict=True)
        final = learning.final_arms(config, size, learning.best_rates(tried))
        results |= zip(final, _train(list(final.values()), left), strict=True)
        _put_table(_MUONCLIP, "tuning", learning.tabulate_tuning(tried))
        table = learning.tabulate_learning(config, results)
        figure = learning.draw_learning(config, results)
        _publish(_MUONCLIP, "learning", table, figure, "muonclip-learning")


@app.command()
def critic(
    run: Run = "latest",
    seeds: Seeds = 3,
    runs: Runs = 99,
) -> None:
    """The critic refreshed or frozen: agreement with the verifiers (minutes a seed; resumes)."""
    from workflows.ablations import critic as work
    from workflows.ablations.configs import CriticAblation
    from workflows.ablations.kept import keep_result, read_result
    from workflows.ablations.policies import find_start, name_arm

    config, kept = CriticAblation(seeds=seeds), home() / "ablations" / "critic"
    start = work.open_some(find_start(run), config, kept)
    arms = [config.rl.model_copy(update={"seed": seed}) for seed in range(seeds)]
    names = [kept / f"{name_arm(start, rl)}.json" for rl in arms]
    missing = [seed for seed, path in enumerate(names) if not path.exists()]
    for seed in missing[:runs]:
        result = work.judge_seed(config, start, seed)
        keep_result(names[seed], result)
        typer.echo(f"seed {seed}: {work.describe(result)}")
    if len(missing) > runs:
        raise typer.Exit
    results = [read_result(path) for path in names]
    page = ROOT / "docs" / "self-critique.md"
    _publish(page, "critic", work.tabulate(results), work.draw(results), "self-critique")


@app.command()
def practice(
    run: Run = "latest",
    seeds: Seeds = 3,
    runs: Runs = 99,
) -> None:
    """RL's objectives, budgets, partial rollouts at equal tokens (a minute an arm; resumes)."""
    from workflows.ablations.configs import PracticeAblation
    from workflows.ablations.policies import find_start

    _practise(PracticeAblation(seeds=seeds), find_start(run), runs, "practice")


@app.command()
def brevity(
    run: Run = "latest",
    seeds: Seeds = 3,
    runs: Runs = 99,
) -> None:
    """Budgets where answers can be shorter: tokens at equal accuracy (ten minutes; resumes)."""
    from workflows.ablations.brevity import learn_remarks
    from workflows.ablations.configs import BrevityAblation
    from workflows.ablations.policies import find_start

    config = BrevityAblation(seeds=seeds)
    start = learn_remarks(find_start(run), config, home() / "ablations" / "brevity")
    _practise(config, start, runs, "brevity")


def _practise(config: "PracticeAblation", start: "CommonStart", runs: int, name: str) -> None:
    """All arms of all seeds, then the page.

    Raises:
        typer.Exit: as many arms were trained as may be, and some are still missing.
    """
    from workflows.ablations import practice as work
    from workflows.ablations.kept import keep_result, read_result
    from workflows.ablations.policies import name_arm

    kept = home() / "ablations" / name
    start, arms = work.ask_few(start, config), work.draw_arms(config)
    paths = {
        arm: [kept / f"{name_arm(start, rl)}.json" for rl in some] for arm, some in arms.items()
    }
    missing = [  # seed by seed: what is cut short has whole seeds to show
        (arm, seed) for seed in range(config.seeds) for arm in arms if not paths[arm][seed].exists()
    ]
    for arm, seed in missing[:runs]:
        result = work.run_arm(start, arms[arm][seed])
        keep_result(paths[arm][seed], result)
        passed = " -> ".join(f"{rate:.3f}" for rate in result["validation"])
        typer.echo(f"{arm}, seed {seed}: {passed} in {sum(result['tokens']):,.0f} tokens")
    if len(missing) > runs:
        raise typer.Exit
    results = {arm: [read_result(path) for path in some] for arm, some in paths.items()}
    table, figure = work.tabulate(config, results), work.draw(results)
    _publish(ROOT / "docs" / "rl.md", name, table, figure, f"rl-{name}")


class Left:
    """Arms that this call may still train."""

    def __init__(self, runs: int) -> None:
        self.runs = runs


def _train_named(
    arms: "Mapping[str, Sequence[TrainingArm]]", runs: int
) -> "dict[str, list[Result]]":
    """Seed by seed, so that an experiment cut short has whole seeds to show (`--seeds`)."""
    by_seed = list(zip(*arms.values(), strict=True))
    found = _train([arm for some in by_seed for arm in some], Left(runs))
    return {name: found[number :: len(arms)] for number, name in enumerate(arms)}


def _train(arms: "Sequence[TrainingArm]", left: Left) -> "list[Result]":
    """Results of all arms in order, training what no earlier call has finished.

    Raises:
        typer.Exit: as many arms were trained as may be, and some are still missing.
    """
    from workflows.ablations.arms import list_missing, name_arm, train_arm
    from workflows.ablations.kept import keep_result, read_result
    from workflows.ablations.text import open_text

    kept = home() / "ablations" / "arms"
    missing = list_missing(kept, arms)
    for number, arm in enumerate(missing, 1):
        if not left.runs:
            raise typer.Exit
        left.runs -= 1
        result = train_arm(arm, open_text(arm.text, home() / "ablations"))
        keep_result(kept / f"{name_arm(arm)}.json", result)
        end = result["heldout"][-1][1] if result["heldout"] else float("nan")
        typer.echo(
            f"{number} of {len(missing)} missing: {arm.optim.kind}, lr {arm.optim.lr:g}, tau "
            f"{arm.optim.qk_clip_tau:g}, seed {arm.seed}: {end:.4f} in {result['seconds']} s"
        )
    return [read_result(kept / f"{name_arm(arm)}.json") for arm in arms]


def _publish(page: Path, mark: str, table: str, figure: "Figure", plot: str) -> None:
    _put_table(page, mark, table)
    plots = ROOT / "docs" / "plots"
    plots.mkdir(exist_ok=True)
    figure.savefig(plots / f"{plot}.png", dpi=110)


def _put_table(page: Path, mark: str, table: str) -> None:
    """Replace what stands between the page's marks `<!-- MARK -->` and `<!-- end -->`."""
    before, rest = page.read_text().split(f"<!-- {mark} -->\n", 1)
    _, after = rest.split("<!-- end -->\n", 1)
    page.write_text(f"{before}<!-- {mark} -->\n{table}\n<!-- end -->\n{after}")
    typer.echo(table)
