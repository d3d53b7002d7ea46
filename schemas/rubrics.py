"""Rubrics: what an answer that no verifier can judge is held against (arXiv:2507.20534, app. F)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from schemas.base import Config

RUBRIC = "rubric"
"""The verifier of problems whose answers only a critic can rank."""
ANY, VERIFIABLE = "any", "verifiable"
"""Contexts of every problem, and of those that a verifier decides."""
_MOST_BYTES = 1_000_000
_NAME = r"^[a-z][a-z0-9_]{1,39}$"


class Criterion(Config):
    """One thing to look at in an answer."""

    id: str = Field(pattern=_NAME)
    """Its name."""
    kind: Literal["core", "prescriptive", "context"]
    """Of every answer, a rule that none may break, or of some kinds of request."""
    wording: str = Field(min_length=10, max_length=400)
    """As the critic reads it."""
    applies: tuple[str, ...] = Field((ANY,), min_length=1)
    """Contexts of the requests that it is for: `any`, `verifiable`, or names of one's own."""
    check: str = ""
    """Of a prescriptive one: the hard check that enforces it, of `k2core.critic.CHECKS`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "prescriptive") != bool(self.check):
            raise ValueError("check belongs to prescriptive criteria, and each of them has one")
        if self.kind == "context" and ANY in self.applies:
            raise ValueError("applies of a context criterion names its contexts; any is for core")
        return self


class RubricFile(Config):
    """A YAML file of criteria of one's own; docs/self-critique.md has its form."""

    path: str = Field(min_length=1)
    """The file; afterwards its name."""
    text: str = ""
    """What is in it, filled in: other criteria are another config."""

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """Its rows."""
        return parse_criteria(self.path, self.text)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("text") or not values.get("path"):
            return values
        path = Path(str(values["path"]))
        return {**values, "path": path.name, "text": read_rubric(path)}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        parse_criteria(self.path, self.text)
        return self


class CriticTemplate(Config):
    """What a critic is shown, in finetuning and in reinforcement learning alike."""

    show: Literal["wordings", "names", "none"] = "wordings"
    """How criteria stand in its prompt; a tiny model has no use for them."""
    rubrics: tuple[RubricFile, ...] = ()
    """Criteria of one's own, beside the built-in ones."""
    max_characters: int = Field(8_000, ge=40)
    """Of a request and of an answer each; the middle of a longer one is left out."""


class CriticPairs(CriticTemplate):
    """The critic's bootstrap in finetuning: pairs of a verified and a failed trajectory."""

    num_pairs: int = Field(20_000, ge=1)
    """Most pairs; each is one dialogue more, with the better answer first or second at random."""


class CriticConfig(CriticTemplate):
    """The policy as its own critic: ranks what no verifier judges, learns from what one does."""

    max_comparisons: int = Field(64, ge=1)
    """Pairs of a group that are compared, each in both orders; as many of each answer."""
    margin: float = Field(0.0, ge=0, lt=0.5)
    """Least distance of the preference from one half; nearer is a tie."""
    decoys: int = Field(2, ge=0, le=6)
    """Planted answers without content a group: where the critic prefers one, nobody is rewarded."""
    max_length_ratio: float = Field(3.0, gt=1)
    """An answer of more words than so many medians of its group loses; short ones always may."""
    refresh_weight: float = Field(0.1, ge=0)
    """Weight of the loss on judgements of on-policy verifiable pairs; 0 leaves the critic as it
    is."""
    refresh_pairs: int = Field(64, ge=1)
    """Most such pairs an iteration; agreement is measured on the same ones, before the update."""
    frozen_every: int = Field(8, ge=0)
    """Iterations between comparisons with the critic that the stage began with; 0 never."""


def read_rubric(path: Path) -> str:
    """A file's text.

    Raises:
        ValueError: it cannot be read, or is no such file; says why.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path}: has {len(content):,} bytes, more than {_MOST_BYTES:,}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no UTF-8: {error}") from None


def parse_criteria(name: str, text: str) -> tuple[Criterion, ...]:
    """The criteria of a file.

    Raises:
        ValueError: names the file, the row from 1 on and the field.
    """
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: is no YAML: {' '.join(str(error).split())[:200]}") from None
    rows = found.get("criteria") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not rows or not isinstance(found, dict) or len(found) > 1:
        raise ValueError(f"{name}: must be one key, `criteria`, with a list of at least one")
    criteria = [_read_row(f"{name}, row {number}", row) for number, row in enumerate(rows, 1)]
    refuse_twins(name, criteria)
    return tuple(criteria)


def refuse_twins(name: str, criteria: Iterable[Criterion]) -> None:
    """Hold that ids are different.

    Raises:
        ValueError: names the second row of an id.
    """
    seen: dict[str, int] = {}
    for number, criterion in enumerate(criteria, 1):
        if criterion.id in seen:
            raise ValueError(
                f"{name}, row {number}: id: {criterion.id} is that of row {seen[criterion.id]}, too"
            )
        seen[criterion.id] = number


def _read_row(place: str, row: object) -> Criterion:
    if not isinstance(row, dict):
        raise ValueError(f"{place}: row: must be an object, {{id: ..., kind: ..., wording: ...}}")  # noqa: TRY004
    try:
        return Criterion.model_validate({str(key): value for key, value in row.items()})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "kind"
        raise ValueError(
            f"{place}: {field}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
