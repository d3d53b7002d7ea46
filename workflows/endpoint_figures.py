"""`k2 verify-serving`: the figures of an endpoint, for people or as JSON."""

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from k2core.serving import EndpointVerification, Figures, list_requests, verify_endpoint
from k2core.serving.wire import Asking
from schemas.endpoint import Endpoint
from workflows.errors import MendableError

_RATES = (
    ("answered", "answered", "asked"),
    ("schema accuracy of calls", "valid_calls", "calls"),
    ("call ids counted on", "right_ids", "calls"),
    ("finish reasons", "right_finishes", "answered"),
    ("streams equal to whole answers", "equal_streams", "answered"),
    ("trigger precision", "rightly_triggered", "triggered"),
    ("trigger recall", "rightly_triggered", "should_trigger"),
    ("cut off at the limit", "cut_off", "answered"),
)


def verify_serving(
    endpoint: Endpoint, num: int, how: Asking, answers: Path, reference: Path | None, *, plain: bool
) -> bool:
    """Ask, print, and say whether the endpoint keeps its word.

    Args:
        endpoint: what is verified.
        num: requests.
        how: limits of each answer and the seed of the requests.
        answers: where answers are kept.
        reference: another endpoint's answers; by default the expert of each problem.
        plain: print JSON.
    """
    console = Console(stderr=True)
    with console.status("") as status:
        try:
            found = verify_endpoint(
                endpoint,
                list_requests(num, how.seed),
                answers,
                how,
                reference,
                lambda done, total: status.update(f"{done} of {total} requests"),
            )
        except (ValueError, OSError) as error:
            raise MendableError(str(error)) from None
    if plain:
        typer.echo(json.dumps(_as_json(found), indent=1))
    else:
        _print(found, Console())
        typer.echo(f"answers are in {answers}")
    return found.figures.keeps_its_word and not found.is_given_up


def _as_json(found: EndpointVerification) -> dict[str, object]:
    figures = found.figures
    rates = {name.replace(" ", "_"): figures.rate(part, whole) for name, part, whole in _RATES}
    return {
        **figures.model_dump(),
        "rates": {**rates, "trigger_f1": figures.trigger_f1},
        "given_up": found.is_given_up,
        "keeps_its_word": figures.keeps_its_word and not found.is_given_up,
    }


def _print(found: EndpointVerification, console: Console) -> None:
    figures = found.figures
    table = Table("figure", "of", "rate")
    for name, part, whole in _RATES:
        _row(table, figures, name, part, whole)
    f1 = figures.trigger_f1
    table.add_row("trigger F1", "", "-" if f1 is None else f"{f1:.3f}")
    console.print(table)
    for fault, times in figures.faults.items():
        console.print(f"{times} x {fault}", style="red", markup=False)
    for breach in figures.breaches:
        console.print(f"invalid: {breach}", style="red", markup=False)
    if found.is_given_up:
        console.print("given up: too many requests in a row without an answer", style="red")


def _row(table: Table, figures: Figures, name: str, part: str, whole: str) -> None:
    rate = figures.rate(part, whole)
    shown = "-" if rate is None else f"{rate:.3f}"
    table.add_row(name, f"{getattr(figures, part)} of {getattr(figures, whole)}", shown)
