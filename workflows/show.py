"""What the command prints: tables of runs and stages, and the tree of a lineage."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from infra.index import RunIndex
from infra.progress import format_seconds
from infra.runs import SeenRun
from schemas.artifacts import Evaluation, RlResult
from schemas.base import Artifact
from schemas.chat import Message
from schemas.evaluate import CHECKPOINTS, Rate, Scores
from tasks.store import open_store
from workflows.as_json import print_json
from workflows.audit.tree import label
from workflows.report import read_scores

if TYPE_CHECKING:
    from workflows.push import Parcel

console = Console()


def show_result(flyte_run: str, *, as_json: bool = False) -> None:
    """A finished run: stage by stage, then the evaluation."""
    if as_json:
        print_json(_figures(flyte_run))
        return
    table = Table("stage", "wall time", "in", "out", title=f"run {flyte_run}")
    evaluation: Artifact | None = None
    with RunIndex() as index:
        stages = index.stages("pipeline = ?", [flyte_run])
    for run, record in sorted(stages, key=lambda stage: stage.run.started):
        took = "cached" if "cached" in run.tags else _took(run)
        outputs = "\n".join(a.describe_counts() for a in record.outputs.values())
        table.add_row(record.stage, took, "\n".join(record.inputs) or "-", outputs)
        evaluation = record.outputs.get("evaluation", evaluation)
    console.print(table)
    if evaluation is not None:
        show_evaluation(Evaluation.model_validate(evaluation.model_dump()))


def _figures(flyte_run: str) -> dict[str, object]:
    """The same for programs."""
    with RunIndex() as index:
        found = index.stages("pipeline = ?", [flyte_run])
    stages: list[dict[str, object]] = []
    scores: Scores | None = None
    for run, record in sorted(found, key=lambda stage: stage.run.started):
        seconds = None if run.ended is None else (run.ended - run.started) / 1000
        about = {"stage": record.stage, "cached": "cached" in run.tags, "seconds": seconds}
        stages.append({**about, "inputs": record.inputs, "outputs": record.outputs})
        if evaluation := record.outputs.get("evaluation"):
            scores = read_scores({"evaluation": evaluation})
    return {"run": flyte_run, "stages": stages, "scores": scores}


def show_outputs(flyte_run: str, result: Artifact | RlResult, *, as_json: bool = False) -> None:
    """What a stage that ran alone has made."""
    made = (result.policy, result.rollouts) if isinstance(result, RlResult) else (result,)
    if as_json:
        print_json({"run": flyte_run, "outputs": made})
        return
    for artifact in made:
        console.print(f"{flyte_run}: {label(artifact)}", highlight=False)


def show_parcel(parcel: "Parcel", sent: str, *, as_json: bool = False) -> None:
    """What is or would be sent: files, sizes, and the head of the card.

    Args:
        parcel: to be sent.
        sent: where it went; empty if it was not.
        as_json: for programs.
    """
    if as_json:
        files = [{"name": file.name, "bytes": file.size} for file in parcel.files]
        about = {"release": parcel.release.digest, "model": parcel.model, "to": parcel.target}
        print_json({**about, "files": files, "bytes": parcel.size, "sent": sent or None})
        return
    place = f"https://huggingface.co/{parcel.target}" if parcel.is_hub else parcel.target
    title = f"{parcel.model} of release {parcel.release.digest[7:19]} to {place}"
    table = Table("file", Column("bytes", justify="right"), title=title)
    for file in parcel.files:
        table.add_row(file.name, f"{file.size:,}")
    table.add_section()
    table.add_row(f"{len(parcel.files)} files, MADE.md and SHA256SUMS", f"{parcel.size:,}")
    console.print(table)
    head = parcel.card.split("model-index:")[0].strip()
    console.print(escape(f"{head}\n..."), highlight=False)
    console.print(f"sent to {sent}" if sent else "nothing was sent: --yes sends", highlight=False)


def show_evaluation(evaluation: Evaluation) -> None:
    """Pass rates with 95 % intervals and perplexities, base / SFT / RL side by side."""
    path = open_store().open(evaluation) / "scores.json"
    scores = Scores.model_validate_json(path.read_bytes())
    names = (Column(name, no_wrap=True) for name in ("held out", "base", "SFT", "RL"))
    table = Table(
        *names,
        "",
        title="pass rates in %, with 95 % intervals",
        caption="+, -: RL won, lost against SFT, paired, p < 5 % over all families",
    )
    for family, rates in scores.families.items():
        table.add_row(family, *_cells(rates), scores.mark(family))
    table.add_section()
    for group, rates in scores.groups.items():
        table.add_row(f"[bold]{group}[/bold]", *_cells(rates), "")
    table.add_row("valid tool calls", *_cells(scores.tool_calls), "")
    table.add_section()
    for domain, by in scores.perplexity.items():
        cells = [f"{by[name].perplexity:.2f}" for name in CHECKPOINTS]
        table.add_row(f"perplexity, {domain}", *cells, "")
    console.print(table)


def show_messages(messages: Sequence[Message]) -> None:
    """A dialogue: the user's words bold, calls and results dim, answers plain."""
    for message in messages:
        if message.role == "user":
            show_line(f"> {message.content}", "bold")
        elif message.role == "tool":
            show_line(f"  = {message.content}", "dim")
        elif message.content or not message.tool_calls:
            show_line(message.content or "(nothing)")
        for call in message.tool_calls:
            show_line(f"  {call.name} {call.arguments}", "dim")


def show_line(text: str, style: str = "") -> None:
    """Text as it is: what a model writes is neither markup nor a terminal's control code."""
    safe = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    console.print(safe, style=style, markup=False, highlight=False, soft_wrap=True)


def _cells(rates: Mapping[str, Rate]) -> list[str]:
    found = (rates[name] for name in CHECKPOINTS)
    return [f"{r.rate:4.0%} [{100 * r.low:.0f}, {100 * r.high:.0f}]" for r in found]


def _took(run: SeenRun) -> str:
    return "-" if run.ended is None else format_seconds((run.ended - run.started) / 1000)
