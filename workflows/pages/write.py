"""Writes the page of a run beside its stages' own pages."""

import sys
from pathlib import Path

import flyte
import flyte.report

from infra.home import home
from infra.pages import render_document, render_fragment
from workflows.pages.read import RunOnPage, read_run
from workflows.pages.run_page import render_run


def write_page(name: str, path: Path | None = None) -> Path:
    """Write a run's page; by default `reports/RUN/index.html` of the home.

    Raises:
        NotRecordedError: there is no such run.
    """
    return _write(read_run(name), path)


async def show_page(name: str) -> None:
    """Write a run's page and make it the Flyte report; what fails here does not fail the run."""
    try:
        run = read_run(name)
        path = _write(run, None)
        if flyte.ctx():
            body = render_run(run, path.parent.absolute())
            await flyte.report.replace.aio(render_fragment(body), do_flush=True)
    except Exception as error:  # the work is done and recorded
        said = f"{type(error).__name__}: {error}"
        print(f"  the page of {name} was not written: {said}", file=sys.stderr)


def _write(run: RunOnPage, path: Path | None) -> Path:
    path = path or home() / "reports" / run.name / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    body = render_run(run, path.parent.absolute())
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(render_document(run.name, body), encoding="utf-8")
    aside.replace(path)
    return path
