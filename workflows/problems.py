"""`k2 problems check`: what would be read of somebody's own problems, before training."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.as_json import Json, print_json
from workflows.errors import NoProblemsError

if TYPE_CHECKING:
    from schemas.problems import Source

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Problems of your own: files of questions with answers, puzzles, reward functions.

    Example: `k2 problems check questions.jsonl --verifier expression`; docs/own-problems.md goes
    from a file to a trained policy.
    """,
)


@app.callback()
def _problems() -> None:
    """Keeps `check` a word of its own."""


@app.command()
def check(
    source: Annotated[
        str,
        typer.Argument(
            help="A file of JSON, CSV or parquet, a reasoning-gym generator, or FILE.py:CLASS."
        ),
    ],
    verifier: Annotated[
        str, typer.Option(help="A verifier's name, FILE.py:FUNCTION or package.module:FUNCTION.")
    ] = "text_answer",
    field: Annotated[
        list[str] | None,
        typer.Option(help="What the file calls a field: --field prompt=question. Repeatable."),
    ] = None,
    system: Annotated[str, typer.Option(help="A system message before each question.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Budget of an answer, in tokens.")] = 64,
    model: Annotated[
        str, typer.Option(help="Whose tokenizer counts: a run's name or a checkpoint's digest.")
    ] = "latest",
    show: Annotated[int, typer.Option(min=0, help="Problems to show as the model reads them.")] = 2,
    every: Annotated[
        bool, typer.Option("--all", help="Show every fault, judge every row.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what would be read: problems and splits, each unusable row and why, lengths in tokens.

    The verifier is run on right and wrong answers, as training would run it. The last line is the
    setting to train with. Ends with 1 where something should be mended.

    Example: `k2 problems check questions.jsonl --verifier expression`
    or `k2 problems check questions.parquet --verifier my_rewards.py:score`
    or `k2 problems check knights_knaves` or `k2 problems check my_game.py:Game`
    """
    from workflows.problems_check import check_source

    stated = state_source(source, verifier, system, max_tokens, field or ())
    found = check_source(stated, model, every=every)
    setting = setting_of(stated, verifier if Path(source).is_file() else source)
    if as_json:
        print_json(found.figures(show, setting))
    else:
        found.print(show, setting, every=every)
    if not found.is_sound:
        raise typer.Exit(1)


def state_source(
    place: str, verifier: str, system: str, max_tokens: int, fields: Sequence[str] = ()
) -> "Source":
    """The source as a config states it.

    Args:
        place: a file, a generator's name, or `FILE.py:CLASS`.
        verifier: who judges the answers to a file's problems.
        system: a system message before each of its rows.
        max_tokens: budget of an answer.
        fields: what the file calls a row's fields, `prompt=question`.

    Raises:
        NoProblemsError: there is no such file or generator, or the verifier cannot be read.
    """
    from pydantic import ValidationError

    from schemas.problems import EnvironmentSource, FileSource, PuzzleSource

    try:
        if "://" not in place and ":" in place:
            named = _name_after(place.rpartition(":")[2])
            return EnvironmentSource(name=named, environment=place, max_tokens=max_tokens)
        if "://" not in place and not Path(place).suffix and not Path(place).exists():
            return PuzzleSource(name=place, dataset=place, max_tokens=max_tokens)
        return FileSource(
            name=_name_after(Path(place).stem),
            path=place,
            digest=_remote_digest(place) if "://" in place else "",
            verifier=verifier,
            fields=dict(map(_split_field, fields)),
            system=system,
            max_tokens=max_tokens,
        )
    except ValidationError as error:
        raise NoProblemsError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _split_field(told: str) -> tuple[str, str]:
    field, _, name = told.partition("=")
    if not (field and name):
        raise NoProblemsError(f"--field {told}: say FIELD=NAME, such as prompt=question")
    return field, name


def _name_after(text: str) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in text)
    return (name if name[:1].isalpha() else f"own_{name}")[:40]


def setting_of(source: "Source", named: str) -> str:
    """What to put behind `k2 run --set` or `k2 rerun rl --set`.

    Args:
        source: what was checked.
        named: the verifier or environment as it was typed.
    """
    from schemas.problems import FileSource, PuzzleSource

    filled = {"code", "digest"} if "://" not in getattr(source, "path", "") else {"code"}
    kept = source.model_dump(mode="json", exclude_defaults=True, exclude=filled)
    if not isinstance(source, PuzzleSource) and source.code and source.code.text:
        field = "verifier" if isinstance(source, FileSource) else "environment"
        file, _, name = named.rpartition(":")
        kept[field] = f"{Path(file).absolute()}:{name}"
    return f"problems.sources.{kind_of(source)}=[{json.dumps(kept)}]"


def kind_of(source: "Source") -> str:
    """The field of `problems.sources` that it belongs in."""
    from schemas.problems import FileSource, PuzzleSource

    if isinstance(source, FileSource):
        return "files"
    return "puzzles" if isinstance(source, PuzzleSource) else "environments"


def _remote_digest(place: str) -> str:
    from k2core.store.bucket import Bucket

    folder, _, name = place.rpartition("/")
    try:
        return hashlib.sha256(Bucket(folder).read(name)).hexdigest()
    except (OSError, ValueError) as error:
        raise NoProblemsError(f"{place} cannot be read: {error}") from None
