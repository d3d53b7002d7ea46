"""Experiments of the reports in miniature: `python -m workflows.ablations NAME`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from infra.home import ROOT, home

app = typer.Typer(
    help="Experiments in miniature: a choice of the recipe against its alternatives, with seeds.",
    no_args_is_help=True,
)


@app.callback()
def _main() -> None:
    """Keep the sub-command's name even while there is but one."""


@app.command()
def rephrase(
    seeds: Annotated[int, typer.Option(min=1, help="Worlds, each with its own weights.")] = 5,
    runs: Annotated[int, typer.Option(help="At most so many now; the rest on a later call.")] = 99,
) -> None:
    """Repeat a text ten times, or rewrite it? Table and plot go to docs/ (a minute a seed).

    Finished arms are kept in K2_HOME: a killed call goes on where it was.
    """
    from k2core.ablations.rephrasing import ARMS, draw_arms, keep_result, run_arm, tabulate_arms
    from schemas.ablations import RephrasingAblation

    config, kept = RephrasingAblation(), home() / "ablations" / "rephrase"
    kept.mkdir(parents=True, exist_ok=True)
    names = {
        (seed, arm): kept / f"{seed}-{number}.json"
        for seed in range(seeds)
        for number, arm in enumerate(ARMS)
    }
    missing = [key for key, path in names.items() if not path.exists()]
    for seed, arm in missing[:runs]:
        result = run_arm(config, arm, seed, kept / "scratch")
        keep_result(names[seed, arm], result)
        typer.echo(json.dumps(result))
    if len(missing) > runs:
        raise typer.Exit
    results = [json.loads(path.read_text()) for path in names.values()]
    docs: Path = ROOT / "docs"
    table = tabulate_arms(results)
    _put_table(docs / "rephrasing.md", table)
    (docs / "plots").mkdir(exist_ok=True)
    draw_arms(results).savefig(docs / "plots" / "rephrasing.png", dpi=110)
    typer.echo(table)


def _put_table(page: Path, table: str) -> None:
    """Replace what stands between the page's two marks."""
    before, rest = page.read_text().split("<!-- table -->\n", 1)
    _, after = rest.split("<!-- end -->\n", 1)
    page.write_text(f"{before}<!-- table -->\n{table}\n<!-- end -->\n{after}")


if __name__ == "__main__":
    app(prog_name="python -m workflows.ablations")
