"""What agents are asked: families of problems, their weights and the held-out split."""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from schemas.base import Config
from schemas.source import Code, read_code

FAMILY_GROUPS = {
    "sum_mental": "math",
    "sum_with_tool": "math",
    "product_with_tool": "math",
    "compare": "math",
    "lookup": "tools",
    "lookup_chain": "tools",
    "retry": "tools",
    "correction": "tools",
    "lookup_pair": "tools",
    "no_tool": "tools",
    "transfer": "tools",
    "linear_function": "code",
    "text_function": "code",
    "repeat_word": "general",
    "follow_format": "general",
    "pick_word": "general",
}
"""Every family, and its group in the K2 report's evaluation (arXiv:2507.20534, section 4)."""

DEFAULT_WEIGHTS = {
    "sum_mental": 0.25,
    "sum_with_tool": 2.0,
    "product_with_tool": 1.0,
    "compare": 1.5,
    "lookup": 1.0,
    "lookup_chain": 0.75,
    "retry": 0.75,
    "correction": 0.75,
    "lookup_pair": 0.5,
    "no_tool": 0.25,
    "transfer": 0.0,
    "linear_function": 0.75,
    "text_function": 0.5,
    "repeat_word": 0.5,
    "follow_format": 0.25,
    "pick_word": 0.5,
}
"""For the tiny model; *transfer* has the longest dialogues, and it never learned them."""


Variant = Literal[
    "unseen_tools", "unseen_enforced", "enforced", "unfit_tools", "failing_tools", "one_shot"
]
"""Conditions beside the plain one, each for the problems that it can apply to.

- `unseen_tools`: names, arguments and descriptions that no training dialogue declares.
- `unseen_enforced`: the same, and as `enforced`.
- `enforced`: calls are held to their tools' schemas while they are written.
- `unfit_tools`: tools are declared where none is needed and none fits.
- `failing_tools`: six of ten calls are answered `busy`, at most two in a row.
- `one_shot`: the calculator is taken away, so that the answer must come at once.
"""


class _Source(Config):
    """Problems from elsewhere, as a family of their own."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]{0,39}$")
    """The family's name, in ids, reports and `rl.token_budgets`."""
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Relative weight in training, beside those of `families`; 0 is never asked."""
    group: Literal["code", "tools", "math", "general"] = "general"
    """The group in reports."""
    max_turns: int = Field(1, ge=1)
    """Assistant messages allowed, where a row does not say."""
    max_tokens: int = Field(64, ge=1)
    """Tokens that an answer may take, where a row does not say."""


class ServerSpec(Config):
    """An MCP server over stdio whose tools a source's problems may call."""

    command: tuple[str, ...] = Field(min_length=1)
    """Program with arguments: one of the MCP environment (`mcp-server-sqlite`), or of the system,
    such as `python3 /path/server.py`. It runs without network, in a copy of `folder`."""
    folder: str = ""
    """Files that each dialogue begins with; the server's working directory is a copy of it."""
    tools: tuple[str, ...] = ()
    """Those that are declared; all where none is named."""
    side_by_side: int = Field(4, ge=1, le=256)
    """Servers that run at a time; of more dialogues, some are played again from their beginning."""
    signed: str = ""
    """SHA-256 over the folder and the files that the command names, filled in."""

    @property
    def files(self) -> tuple[str, ...]:
        """What the command names of this machine's files."""
        return tuple(part for part in self.command[1:] if Path(part).is_file())

    def sign(self) -> str:
        """The SHA-256 as it is now."""
        paths = [Path(part) for part in self.files]
        inside = sorted(p for p in Path(self.folder).rglob("*") if p.is_file())
        digest = hashlib.sha256()
        for path in (*paths, *(inside if self.folder else ())):
            name = path.relative_to(self.folder) if path in inside else path.name
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    @model_validator(mode="before")
    @classmethod
    def _sign(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("signed") or not values.get("command"):
            return values
        values = dict(values)
        if folder := str(values.get("folder") or ""):
            if not Path(folder).is_dir():
                raise ValueError(f"{folder}: there is no such folder")
            values["folder"] = str(Path(folder).absolute())
        first, *rest = values["command"]
        places = [str(Path(part).absolute()) if Path(part).is_file() else part for part in rest]
        values["command"] = (first, *places)
        return {**values, "signed": cls.model_construct(**values).sign()}


class FileSource(_Source):
    """Problems from a file of JSON, CSV or parquet; docs/own-problems.md has a row's fields."""

    path: str = Field(min_length=1)
    """The file, here or as `s3://`, `gs://`, `abfs://`."""
    digest: str = ""
    """SHA-256 of the file: other bytes are another config. Filled in for a file on this machine."""
    verifier: str = "text_answer"
    """What judges where a row names none: a name of `k2core.rewards.VERIFIERS`, or a function of
    your own as `FILE.py:NAME` or `package.module:NAME`."""
    code: Code | None = None
    """That function with its source, filled in: another source is another config."""
    code_seconds: int = Field(5, ge=1)
    """CPU seconds that the function may take for an answer."""
    server: ServerSpec | None = None
    """A live MCP server whose tools may be called; each dialogue finds it as it was stated."""
    fields: dict[str, str] = Field({})
    """A row's field -> what the file calls it, e.g. prompt: question; `a.b` lies within `a`."""
    system: str = ""
    """A system message before each row's own messages."""
    max_row_bytes: int = Field(1_000_000, ge=100)
    """Largest row."""
    max_faulty_frac: float = Field(0.1, ge=0, lt=1)
    """Share of rows that may be unusable; they are counted and left out. More is an error."""

    @model_validator(mode="before")
    @classmethod
    def _sign(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        path, verifier, code = (str(values.get(key) or "") for key in ("path", "verifier", "code"))
        if path and "://" not in path and not values.get("digest"):
            values |= {"path": str(Path(path).absolute()), "digest": _digest_file(Path(path))}
        if ":" not in verifier:
            values["code"] = None
        elif not code:
            values["code"] = read_code(verifier)
            values["verifier"] = values["code"].named
        return values

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if not re.fullmatch(r"[0-9a-f]{64}", self.digest):
            raise ValueError(
                f"{self.path}: state the file's SHA-256 in digest; `k2 problems check` prints it"
            )
        if self.code and self.code.named != self.verifier:
            raise ValueError(f"code is of {self.code.named}, not of {self.verifier}: leave it out")
        return self


class PuzzleSource(_Source):
    """Problems of a generator of reasoning-gym, judged by its own scorer."""

    dataset: str
    """The generator, e.g. `knights_knaves`."""
    size: int = Field(1000, ge=10, le=1_000_000)
    """Problems that are drawn, over all splits."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """The generator's own settings, e.g. `{"n_people": 2}`."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: object) -> object:
        if isinstance(values, dict) and "name" not in values:
            return {**values, "name": values.get("dataset")}
        return values


class EnvironmentSource(_Source):
    """Problems of an environment of your own: `k2core.environments.OwnEnvironment` says how."""

    environment: str = Field(min_length=1)
    """The class, as `FILE.py:NAME` or `package.module:NAME`."""
    code: Code | None = None
    """That class with its source, filled in: another source is another config."""
    code_seconds: int = Field(5, ge=1)
    """CPU seconds that a dialogue with it may take."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """What the class takes, by name."""
    size: int = Field(200, ge=1, le=100_000)
    """Problems, over all splits: one a seed."""
    max_turns: int = Field(8, ge=1)
    """Assistant messages allowed."""
    max_tokens: int = Field(256, ge=1)
    """Tokens that all of a dialogue's answers may take."""

    @model_validator(mode="before")
    @classmethod
    def _sign(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("code") or not values.get("environment"):
            return values
        code = read_code(str(values["environment"]))
        return {**values, "code": code, "environment": code.named}

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.code is None or self.code.named != self.environment:
            raise ValueError(f"code is not of {self.environment}: leave it out")
        return self


Source = FileSource | PuzzleSource | EnvironmentSource


class Sources(Config):
    """Problems that do not come with the house; each is a family without an expert."""

    files: tuple[FileSource, ...] = ()
    """Files of questions with answers."""
    puzzles: tuple[PuzzleSource, ...] = ()
    """Generators of reasoning-gym."""
    environments: tuple[EnvironmentSource, ...] = ()
    """Worlds that answer."""

    @property
    def all(self) -> tuple[Source, ...]:
        """In the order of the kinds."""
        return (*self.files, *self.puzzles, *self.environments)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source.name for source in self.all]
        if twice := sorted({n for n in names if names.count(n) > 1 or n in FAMILY_GROUPS}):
            raise ValueError(f"the names {twice} are taken: give each source a name of its own")
        return self


def _digest_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        hint = ": a source is one file, several files are several sources" * path.is_dir()
        raise ValueError(f"{path}: cannot be read: {error.strerror}{hint}") from None


class ProblemsConfig(Config):
    """Families of verifiable problems, split by the hash of what each problem is about."""

    seed: int = Field(0, ge=0)
    """Seed of all problems and of the split."""
    families: dict[str, float] = Field(DEFAULT_WEIGHTS)
    """Relative weight of each family in training; 0 or left out is never asked in training."""
    sources: Sources = Sources()
    """Problems of your own, beside the families: files with answers, puzzles."""
    held_out_frac: float = Field(0.2, gt=0, lt=0.9)
    """Share of all possible contents that only the last examination meets, by their hash."""
    validation_frac: float = Field(0.1, ge=0, lt=0.5)
    """Share of all contents for choosing: checkpoints and settings are compared on these, so that
    the held-out ones stay unseen until the end. Training meets neither."""
    held_out_per_family: int = Field(100, ge=1, le=5_000)
    """Held-out problems of each family with a weight above 0, all about different contents."""
    reworded_frac: float = Field(0.0, ge=0, le=1)
    """Share of training problems whose tools have names, arguments and descriptions drawn for that
    problem alone, so that a model must read what is declared. What is held out under
    `unseen_tools` is among none of them. The tiny model pays for unseen tools with known ones
    (docs/log.md), so it is not asked so; the large recipes ask most problems so."""
    coined_frac: float = Field(0.0, ge=0, le=1)
    """Share of those words that are put together of two others', so that nobody has heard them: for
    models that copy a word token by token, as the tiny one does not learn to."""
    two_turn_frac: float = Field(0.15, ge=0, le=1)
    """Share of problems whose user tells the goal in two turns, in families that allow it."""

    @field_validator("families")
    @classmethod
    def _known_families(cls, families: dict[str, float]) -> dict[str, float]:
        if strange := sorted(set(families) - set(FAMILY_GROUPS)):
            raise ValueError(f"unknown families {strange}: there are {sorted(FAMILY_GROUPS)}")
        wrong = {n: w for n, w in families.items() if not (math.isfinite(w) and w >= 0)}
        if wrong:
            raise ValueError(f"weights {wrong} are not at least 0 and finite")
        return families

    @property
    def weights(self) -> dict[str, float]:
        """Of every family, generated ones first."""
        return self.families | {source.name: source.weight for source in self.sources.all}

    def scale(self, factors: Mapping[str, float]) -> Self:
        """With the weights of some families multiplied; those of others stay."""
        sources = {
            kind: tuple(
                one.model_copy(update={"weight": one.weight * factors.get(one.name, 1.0)})
                for one in getattr(self.sources, kind)
            )
            for kind in Sources.model_fields
        }
        families = {name: weight * factors.get(name, 1.0) for name, weight in self.families.items()}
        update = {"families": families, "sources": self.sources.model_copy(update=sources)}
        return self.model_copy(update=update)

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not any(self.weights.values()):
            raise ValueError(
                "all weights are 0: give at least one family or source a weight above 0"
            )
        return self

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.held_out_frac + self.validation_frac >= 1:
            raise ValueError(
                f"held_out_frac={self.held_out_frac} + validation_frac={self.validation_frac} "
                "leaves no contents for training"
            )
        return self
