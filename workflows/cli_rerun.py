"""`k2 rerun`: a stage again, here or on the cluster that ran it."""

from typing import Annotated

import typer

from workflows.as_json import Json, print_json
from workflows.exits import fail

app = typer.Typer()

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a field: `--set pretrain.optim.lr=3e-3`. Repeatable."),
]


@app.command()
def rerun(
    stage: Annotated[str, typer.Argument(help="ingest, clean, ... release.")],
    source: Annotated[str, typer.Option("--from", help="A run of `k2 runs`.")] = "latest",
    settings: Settings = None,
    downstream: Annotated[bool, typer.Option(help="Then run what follows from it, too.")] = False,
    remote: Annotated[
        bool, typer.Option("--remote", help="On the cluster of Flyte's configuration.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run one stage again from an earlier run's recorded inputs.

    With --remote Flyte's own rerun does it, with the code that the run had, and with --downstream
    its recover: what the settings do not reach keeps its outputs.

    Example: `k2 rerun sft --set sft.optim.lr=1e-3 --downstream`
    """
    from schemas.recipe import STAGES

    if stage not in STAGES:
        raise fail(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    if remote:
        from workflows.remote import rerun_there

        started = rerun_there(stage, source, settings or [], downstream=downstream)
        if as_json:
            print_json({"run": started.name, "url": started.url})
        else:
            typer.echo(f"{started.name} is started: {started.url}")
        return
    from workflows.launch import rerun_downstream, rerun_stage
    from workflows.show import show_outputs, show_result

    name, recipe, result = rerun_stage(stage, source, settings or [])
    if downstream:
        if not as_json:
            show_outputs(name, result)
        name, _ = rerun_downstream(stage, source, recipe)
        show_result(name, as_json=as_json)
    else:
        show_outputs(name, result, as_json=as_json)
