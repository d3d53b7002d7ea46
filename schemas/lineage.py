"""What is recorded of a stage: enough to find it, to repeat it and to audit it."""

from pydantic import Field, JsonValue

from schemas.base import Artifact, Config


class LineageRecord(Config):
    """One stage that was done: code version, configs, inputs, outputs. No times, no places."""

    stage: str
    """Its name, e.g. `clean`."""
    version: str
    """The stage's VERSION when it ran, and after it a hash of its packages' locked versions."""
    configs: dict[str, JsonValue] = Field(default_factory=dict)
    """Argument name -> config, as JSON."""
    inputs: dict[str, Artifact] = Field(default_factory=dict)
    """Argument name -> artifact."""
    outputs: dict[str, Artifact] = Field(default_factory=dict)
    """Output name -> artifact; a stage with one output names it by its kind."""
