"""What a command prints for programs: one JSON value, alone on the standard output."""

import json
from typing import Annotated

import typer
from pydantic import BaseModel

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""Every command that prints figures takes it; a test goes through them."""


def print_json(value: object) -> None:
    """Print it; what else there is to say goes to the standard error."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)
