"""`k2 evaluate`: serves a model where it is not served yet, asks the suites, shows the scores."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import typer
from rich.console import Console
from rich.table import Column, Table

from infra.home import home
from k2core.evaluate.harness import Subject, run_suites
from k2core.model.digest import checkpoint_digest
from k2core.rephrase.rephraser import PACKAGED, find_rephraser
from k2core.sandbox import Sandbox
from k2core.serving.process import free_port, stop_server
from schemas.benchmarks import SUITES, BenchmarkConfig, Benchmarks
from schemas.endpoint import Endpoint
from schemas.evaluate import Rate
from workflows.endpoints import check_answers, endpoint_at
from workflows.errors import MendableError
from workflows.serve import find_served, log_of, start_server, wait_until_healthy

_HOST = "127.0.0.1"
_SERVED = "k2"
_MODES = {"on": (False,), "off": (True,), "both": (False, True)}
"""Whether the server is free, by `--enforcer`."""
_WHEN_NAMED = ("bfcl_turns", "tau2")
"""Suites whose contexts and times are of another order than the others'."""


class Wanted(NamedTuple):
    """What the user asked for."""

    suites: tuple[str, ...]
    limit: int | None
    samples: int
    temperature: float
    max_tokens: int
    tool_calls: str | None
    enforcer: str


def evaluate_model(
    target: str, wanted: Wanted, name: str, key_variable: str, out: Path | None, *, as_json: bool
) -> None:
    """Ask the suites and print the scores.

    Raises:
        MendableError: no such model, suite or way of calling; a folder of other answers.
    """
    for suite in wanted.suites:
        if suite not in SUITES:
            raise MendableError(f"--suite {suite}: there are {', '.join(SUITES)}")
    if wanted.enforcer not in _MODES:
        raise MendableError(f"--enforcer {wanted.enforcer}: there are {', '.join(_MODES)}")
    found = [
        _ask(target, wanted, name, key_variable, out, free=free) for free in _MODES[wanted.enforcer]
    ]
    if as_json:
        told = [benchmarks.model_dump(mode="json") for benchmarks in found]
        typer.echo(json.dumps(told[0] if len(told) == 1 else told, indent=1))
    else:
        for benchmarks in found:
            show_benchmarks(benchmarks)
        if len(found) > 1:
            _show_valid_calls(*found)
    if not any(score.rate.total for one in found for score in one.suites.values()):
        raise MendableError("no item has a verdict: all were faulty")


def _ask(
    target: str, wanted: Wanted, name: str, key_variable: str, out: Path | None, *, free: bool
) -> Benchmarks:
    """Serve it, ask it, and keep what it said; without the enforcer in a folder beside."""
    with (
        serving(target, wanted, name, key_variable, free=free) as (asked, native),
        Sandbox.start() as sandbox,
    ):
        tool_calls = _tool_calls(wanted.tool_calls, native=native)
        usual = [suite for suite in SUITES if suite not in _WHEN_NAMED]
        config = BenchmarkConfig(
            suites=wanted.suites or tuple(usual),
            limit=wanted.limit,
            samples=wanted.samples,
            temperature=wanted.temperature,
            max_tokens=wanted.max_tokens,
            tool_calls=tool_calls,
            enforcer="unknown" if not asked.weights else "off" if free or not native else "on",
        )
        folder = out or home() / "benchmarks" / _folder_name(asked)
        if free and native:
            folder = folder.with_name(f"{folder.name}-free")
        if not asked.weights and not (folder / "benchmarks.json").exists():
            check_answers(asked.endpoint)
        try:
            asked = asked._replace(command=_command(target, wanted, free=free))
            found = run_suites(config, asked, sandbox, folder)
        except ValueError as error:
            raise MendableError(str(error)) from None
    typer.echo(f"answers and logs: {folder}", err=True)
    return found


def _show_valid_calls(enforced: Benchmarks, free: Benchmarks) -> None:
    """What the enforcer changes of the calls, suite by suite."""
    for suite, score in enforced.suites.items():
        calls, others = score.valid_calls, free.suites[suite].valid_calls
        if calls and others:
            typer.echo(
                f"{suite}: valid calls {', '.join(_cells(calls))} with the enforcer; "
                f"{', '.join(_cells(others))} without"
            )


@contextmanager
def serving(
    target: str, wanted: Wanted, name: str, key_variable: str, *, free: bool
) -> Iterator[tuple[Subject, bool]]:
    """The model behind an address, and whether it takes declared tools."""
    if target.startswith(("http://", "https://")):
        if not name:
            raise MendableError("--name: how is the model called at that URL?")
        endpoint = endpoint_at(target, name, key_variable, temperature=wanted.temperature)
        yield Subject(f"{target} {name}", "", endpoint), True
        return
    if target in PACKAGED:
        folder = find_rephraser(target, home() / "store" / "models")
        served = find_served(str(folder))
    else:
        served = find_served(target)
    _tool_calls(wanted.tool_calls, native=served.is_k2)
    weights = _digest(served.folder)
    port = free_port()
    typer.echo(f"starting vLLM on {served.label} ...", err=True)
    server = start_server(served, _HOST, port, free=free, log=log_of(port))
    try:
        wait_until_healthy(server, _HOST, port, log_of(port))
        endpoint = Endpoint(
            url=f"http://{_HOST}:{port}/v1", model=_SERVED, temperature=wanted.temperature
        )
        yield Subject(target, weights, endpoint), served.is_k2
    finally:
        stop_server(server)


def _digest(folder: Path) -> str:
    """The receipt for a folder's weights."""
    try:
        return checkpoint_digest(folder)
    except Exception as error:  # of whatever a stranger's files hold
        raise MendableError(f"{folder}: its weights cannot be read: {error}") from None


def show_benchmarks(found: Benchmarks) -> None:
    """A row a suite and one a category, with 95 % intervals."""
    heads = ("", "passed", "rate in %, 95 %", "cut off", "valid calls")
    table = Table(*(Column(head, no_wrap=True) for head in heads))
    for name, score in found.suites.items():
        calls = f"{score.valid_calls.rate:.0%}" if score.valid_calls else ""
        table.add_row(
            f"[bold]{name}[/bold] ({score.group})",
            *_cells(score.rate),
            f"{score.cut_off.rate:.0%}",
            calls,
        )
        if len(score.categories) > 1:
            for category, rate in score.categories.items():
                table.add_row(f"  {category}", *_cells(rate))
        if score.faulty:
            table.add_row(f"  {score.faulty} faulty: no part of the rate")
        table.add_section()
    console = Console()
    console.print(table)
    for name, score in found.suites.items():
        commonest = sorted(score.reasons.items(), key=lambda found: -found[1])[:3]
        failure = "; ".join(f"{n} {reason[:50]}" for reason, n in commonest)
        failed = f"; failed: {failure}" if failure else ""
        failed += "".join(f"; {n} faulty: {why[:200]}" for why, n in [*score.faults.items()][:2])
        said = f"{name}: {score.source}, items {score.data[7:19]}{failed}"
        console.print(said, highlight=False, markup=False)
    console.print(f"{found.model}, weights {found.weights[7:19] or 'unknown'}, {found.harness}")


def _cells(rate: Rate) -> tuple[str, str]:
    shown = f"{100 * rate.rate:.1f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
    return f"{rate.passed} of {rate.total}", shown


def _tool_calls(asked: str | None, *, native: bool) -> Literal["native", "prompted"]:
    if asked == "prompted" or (asked is None and not native):
        return "prompted"
    if asked not in (None, "native"):
        raise MendableError(f"--tool-calls {asked}: native or prompted")
    if not native:
        raise MendableError(
            "--tool-calls native: this model is served without a parser of calls; say prompted"
        )
    return "native"


def _command(target: str, wanted: Wanted, *, free: bool) -> str:
    """What asks the same again, by what differs from the defaults."""
    suites = [part for suite in wanted.suites for part in ("--suite", suite)]
    options = {
        "--limit": (wanted.limit, None),
        "--samples": (wanted.samples, 1),
        "--temperature": (wanted.temperature, 0.0),
        "--max-tokens": (wanted.max_tokens, 512),
        "--tool-calls": (wanted.tool_calls, None),
        "--enforcer": ("off" if free else "on", "on"),
    }
    said = [f"{name} {value}" for name, (value, usual) in options.items() if value != usual]
    return " ".join(("k2 evaluate", target, *suites, *said))


def _folder_name(asked: Subject) -> str:
    plain = "".join(c if c.isalnum() or c in "-." else "_" for c in asked.name)[-60:].strip("_.")
    return f"{plain}-{asked.weights[7:19]}" if asked.weights else plain
