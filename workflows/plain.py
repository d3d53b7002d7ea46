"""A group of commands whose errors are plain messages."""

from typing import Any

import typer
from typer.core import TyperGroup

from workflows.errors import MendableError


class PlainErrors(TyperGroup):
    """Errors that the user can mend are one message, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MendableError as error:
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(2) from None
