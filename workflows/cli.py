"""`k2`: run the pipeline, rerun a stage, look at runs, lineage and the released model."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.home import ROOT, home, tracking_uri
from workflows.as_json import Json, print_json
from workflows.attest.command import app as attest_app
from workflows.audit.command import Target
from workflows.audit.command import app as audit_app
from workflows.cli_data import app as data_app
from workflows.cli_models import app as models_app
from workflows.cli_outside import app as outside_app
from workflows.cli_recipe import app as recipe_app
from workflows.cli_rerun import Settings
from workflows.cli_rerun import app as rerun_app
from workflows.cli_serving import app as serving_app
from workflows.exits import DEBUG, PlainErrors, fail
from workflows.forgotten import read_forgotten
from workflows.problems import app as problems_app
from workflows.tools import app as tools_app

if TYPE_CHECKING:
    from schemas.recipe import Recipe

app = typer.Typer(
    cls=PlainErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
)

app.add_typer(models_app)
app.add_typer(serving_app)
app.add_typer(tools_app, name="tools")
app.add_typer(problems_app, name="problems")
app.add_typer(audit_app)
app.add_typer(attest_app)
app.add_typer(outside_app)
app.add_typer(rerun_app)
app.add_typer(data_app)
app.add_typer(recipe_app)


@app.callback()
def main(
    debug: Annotated[
        bool,
        typer.Option(DEBUG, envvar="K2_DEBUG", help="Show the traceback of what fails, too."),
    ] = False,
) -> None:
    """Make an agentic language model the way Kimi K2 was made, and audit every step of it."""
    if debug:
        os.environ["K2_DEBUG"] = "1"


@app.command()
def run(
    recipe: Annotated[
        str, typer.Option(help="By name, or a file of your own: my.yaml, my.py:function.")
    ] = "tiny",
    base: Annotated[
        str | None,
        typer.Option(help="Start from this model, as for `k2 import`, or from its digest."),
    ] = None,
    settings: Settings = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file of what the cache answers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run every stage here. What was done before is cached; what was killed resumes.

    Example: `k2 run --recipe tiny --set rl.num_iterations=10`
    """
    if verify:
        os.environ["K2_VERIFY"] = "1"
    changed = _recipe(recipe, [] if base else settings)
    if base:
        from workflows.bring import based_on

        changed = based_on(changed, base, settings or [])
    from workflows.plan import refuse_absent, refuse_unfit
    from workflows.sources import settle_files

    changed = settle_files(changed)
    refuse_unfit(changed)  # before the slow imports
    refuse_absent(changed)

    from workflows.launch import run_pipeline
    from workflows.show import show_result

    name, _ = run_pipeline(changed)
    show_result(name, as_json=as_json)
    if not as_json:
        _next_steps(name)


@app.command()
def plan(
    recipe: Annotated[
        str, typer.Option(help="By name, or a file of your own: my.yaml, my.py:function.")
    ] = "k2_1t",
    nodes: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    gpus_per_node: Annotated[int | None, typer.Option(min=1, help="The same.")] = None,
    gpu: Annotated[str | None, typer.Option(help="cpu, a100, h20, h100, h800, ... gb300.")] = None,
    tp: Annotated[int | None, typer.Option(min=1, help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option(min=1, help="Pipeline stages.")] = None,
    ep: Annotated[int | None, typer.Option(min=1, help="Expert parallel size.")] = None,
    cp: Annotated[int | None, typer.Option(min=1, help="Ranks that share a sequence.")] = None,
    virtual_stages: Annotated[int | None, typer.Option(min=1, help="Chunks of layers.")] = None,
    micro_batch: Annotated[int | None, typer.Option(min=1, help="Sequences a forward.")] = None,
    rollout_tokens: Annotated[int | None, typer.Option(min=1, help="Of RL's, on average.")] = None,
    efficiency: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the peak that kernels reach.")
    ] = 0.45,
    fp8: Annotated[bool, typer.Option("--fp8", help="Matrix products in FP8.")] = False,
    as_json: Json = False,
    settings: Settings = None,
) -> None:
    """Predict memory, traffic, time and days of every stage that needs accelerators.

    With none of --tp, --cp, --pp, --ep, every layout that can run is ranked. A layout that cannot
    run is refused with the reason. Phases after the schedule and finetuning follow on its stages.

    Example: `k2 plan --recipe k2_1t --nodes 64 --gpus-per-node 8 --gpu h800 --pp 16 --ep 16`
    """
    from workflows.plan import Wish
    from workflows.plan_tables import print_plan

    sizes = tp, pp, ep, cp, virtual_stages, micro_batch
    wish = Wish(nodes, gpus_per_node, gpu, *sizes, rollout_tokens)
    print_plan(_recipe(recipe, settings), wish, efficiency, fp8=fp8, as_json=as_json)


@app.command()
def runs(as_json: Json = False) -> None:
    """List the pipelines that ran, the newest first, with what they cached.

    Example: `k2 runs`
    """
    from workflows.runs import show_runs

    show_runs(as_json=as_json)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A finished run of `k2 runs`.")] = "latest",
    write: Annotated[
        bool, typer.Option("--write", help="Into README.md, docs/results.md and docs/results/.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write one self-contained page to send to a colleague.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a run's times, counts and scores as Markdown or JSON, or write them into pages.

    `k2 run` leaves the HTML page beside the stages' own when it ends; --html makes it anew, also of
    a run that has not come to its end.

    Example: `k2 report tiny-1128-1400 --html tiny.html`
    """
    if html is not None:
        from workflows.pages.write import write_page

        _wrote(write_page(run, html), as_json=as_json)
        return
    from workflows.report import read_report, write_report
    from workflows.report_tables import whole

    found = read_report(run)
    if write:
        _wrote(*write_report(found), as_json=as_json)
    elif as_json:
        print_json(found)
    else:
        typer.echo(whole(found))


@app.command()
def lineage(
    target: Target = "latest",
    as_json: Json = False,
) -> None:
    """Show the tree of stages, configs and digests behind an artifact, down to its sources.

    Example: `k2 lineage tiny-1124-2249`
    """
    from workflows.audit.tree import show_lineage

    show_lineage(target, as_json=as_json)


@app.command()
def why(
    document: Annotated[
        str | None,
        typer.Argument(help="A file, a folder, a URL, or the id (its beginning) of a document."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="SHARD:OFFSET instead: which document is this token from?"),
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="A run of `k2 runs`; by default the newest that has it.")
    ] = "latest",
    replay: Annotated[
        bool, typer.Option("--replay", help="Derive the shard's order anew, from config and texts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say why a document was kept or dropped, how it was rewritten, and where its tokens went.

    A token is traced back to its document, and the document encoded again to prove it.

    Example: `k2 why ~/notes/trip.md` or `k2 why https://my.org/page` or `k2 why 3f2a91`
    or `k2 why --token train/web:1234 --replay`
    """
    if (document is None) == (token is None):
        raise fail("say either a document's id or --token SHARD:OFFSET")
    if replay and token is None:
        raise fail("--replay derives the order of a token's shard: it goes with --token")
    from workflows.why import explain, explain_token

    if token is not None:
        explain_token(token, source, replay=replay, as_json=as_json)
    elif document is not None:
        explain(document, source, as_json=as_json)


@app.command()
def synthesize(
    count: Annotated[int, typer.Option(min=1, help="Training problems to put experts before.")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Make trajectories alone: rate, acceptance, and whose fault each failure was.

    Example: `k2 synthesize --count 2000 --set synthesize.live_per_server=0`
    """
    from workflows.overrides import change
    from workflows.recipes import RECIPES

    asked = [f"synthesize.num_problems={count}", *(settings or [])]
    recipe = change(RECIPES["tiny"](), asked)

    from workflows.trajectories import synthesize

    synthesize(recipe, as_json=as_json)


@app.command()
def rejudge(
    target: Annotated[str, typer.Argument(help="A run's name or a set's digest.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="Write the new judgements here.")] = None,
    as_json: Json = False,
) -> None:
    """Judge stored trajectories again, without playing them again; print what changed.

    Example: `k2 rejudge --out rejudged`
    """
    from workflows.trajectories import rejudge_set

    rejudge_set(target, out, as_json=as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A file of JSON lines.")],
    target: Annotated[str, typer.Option(help="A run's name or a set's digest.")] = "latest",
    as_json: Json = False,
) -> None:
    """Write accepted dialogues as chat messages with tools, in K2's form, for other trainers.

    Example: `k2 export dialogues.jsonl`
    """
    from workflows.trajectories import export_set

    export_set(target, out, as_json=as_json)


@app.command()
def validate(
    path: Annotated[Path, typer.Argument(help="JSON lines of {messages, tools}.")],
    as_json: Json = False,
) -> None:
    """Check anybody's dialogues against K2's form: ids, answers, schemas; name each fault.

    Example: `k2 validate dialogues.jsonl`
    """
    from workflows.trajectories import validate_file

    raise typer.Exit(0 if validate_file(path, as_json=as_json) else 1)


@app.command()
def rollouts(
    run: Annotated[str, typer.Argument(help="A run's name or a rollout log's digest.")] = "latest",
    family: Annotated[str | None, typer.Option(help="Of this family of problems.")] = None,
    reward: Annotated[float | None, typer.Option(help="That earned exactly this.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="That did not pass for a reason with these words.")
    ] = None,
    iteration: Annotated[int | None, typer.Option(min=1, help="Of this one.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Dialogues of each kind to print.")] = 1,
    as_json: Json = False,
) -> None:
    """Read what the policy said in reinforcement learning: best, worst, rejected and odd.

    Example: `k2 rollouts --family lookup --reason over_budget`
    """
    from workflows.rollouts import Filter, show_rollouts

    show_rollouts(run, Filter(family, reward, reason, iteration), count, as_json=as_json)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Where it listens on this machine.")] = 5000) -> None:
    """Open the MLflow UI on the recorded runs (`flyte start tui` shows the Flyte side).

    Example: `k2 ui --port 5001`
    """
    command = ["mlflow", "ui", "--backend-store-uri", tracking_uri(), "--port", str(port)]
    raise SystemExit(subprocess.call([sys.executable, "-m", *command], cwd=home()))


def _recipe(name: str, settings: list[str] | None) -> "Recipe":
    """The named recipe with its settings; imports nothing slow."""
    from workflows.overrides import change
    from workflows.recipe_files import load_recipe

    recipe = load_recipe(name, settings or [])
    forgotten = read_forgotten()
    if not forgotten:
        return recipe
    exclude = json.dumps(sorted({*recipe.clean.exclude, *forgotten}))
    return change(recipe, [f"clean.exclude={exclude}"])


def _wrote(*pages: Path, as_json: bool) -> None:
    if as_json:
        print_json({"wrote": pages})
    else:
        typer.echo(f"wrote {', '.join(map(str, pages))}")


def _next_steps(name: str) -> None:
    typer.echo(
        f"""
Where to look next
  the run on one page     {home() / "reports" / name / "index.html"}
  runs in Flyte's TUI     cd {ROOT} && .venv/bin/flyte start tui
  curves and lineage      .venv/bin/k2 ui          (MLflow)
  the tree behind it      .venv/bin/k2 lineage {name}
  talk to the policy      .venv/bin/k2 chat"""
    )


if __name__ == "__main__":
    app(prog_name="k2")
