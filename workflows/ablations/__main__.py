"""`python -m workflows.ablations NAME`."""

from workflows.ablations.command import app

app(prog_name="python -m workflows.ablations")
