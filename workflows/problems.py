"""`k2 problems check`: what would be read of somebody's own problems, before training."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.errors import MendableError
from workflows.exits import PlainErrors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k2core.chat import ChatCodec
    from k2core.sandbox import Sandbox
    from schemas.chat import Problem
    from schemas.problems import Source

app = typer.Typer(
    cls=PlainErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Problems of your own: files of questions with answers, puzzles, reward functions.

    Example: `k2 problems check questions.jsonl --verifier expression`; docs/own-problems.md goes
    from a file to a trained policy.
    """,
)
_FAULTS_SHOWN = 10
_JUDGED = 50


class NoProblemsError(MendableError):
    """A source that cannot be used; says why."""


@app.callback()
def _problems() -> None:
    """Keeps `check` a word of its own."""


@app.command()
def check(
    source: Annotated[
        str,
        typer.Argument(
            help="A file of JSON lines or parquet, a reasoning-gym generator, or FILE.py:CLASS."
        ),
    ],
    verifier: Annotated[
        str, typer.Option(help="A verifier's name, FILE.py:FUNCTION or package.module:FUNCTION.")
    ] = "text_answer",
    system: Annotated[str, typer.Option(help="A system message before each question.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Budget of an answer, in tokens.")] = 64,
    model: Annotated[
        str, typer.Option(help="Whose tokenizer counts: a run's name or a checkpoint's digest.")
    ] = "latest",
    show: Annotated[int, typer.Option(min=0, help="Problems to show as the model reads them.")] = 2,
    every: Annotated[
        bool, typer.Option("--all", help="Show every fault, judge every row.")
    ] = False,
) -> None:
    """Say what would be read: problems and splits, each unusable row and why, lengths in tokens.

    The verifier is run on right and wrong answers, as training would run it. The last line is the
    setting to train with. Ends with 1 where something should be mended.

    Example: `k2 problems check questions.jsonl --verifier expression`
    or `k2 problems check questions.parquet --verifier my_rewards.py:score`
    or `k2 problems check knights_knaves` or `k2 problems check my_game.py:Game`
    """
    stated = state_source(source, verifier, system, max_tokens)
    sound = check_source(stated, model, show, every=every)
    setting = setting_of(stated, verifier if Path(source).is_file() else source)
    typer.echo(f"to train on it: --set '{setting}'")
    if not sound:
        raise typer.Exit(1)


def state_source(place: str, verifier: str, system: str, max_tokens: int) -> "Source":
    """The source as a config states it.

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
            system=system,
            max_tokens=max_tokens,
        )
    except ValidationError as error:
        raise NoProblemsError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _name_after(text: str) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in text)
    return (name if name[:1].isalpha() else f"own_{name}")[:40]


def check_source(source: "Source", model: str, show: int, *, every: bool = False) -> bool:
    """Print all that there is to know of a source; False where something should be mended."""
    from k2core.problems import SourceError
    from k2core.problems.bank import look_through, split_rows
    from k2core.sandbox import Sandbox
    from schemas.problems import FileSource, ProblemsConfig, Sources

    kind, of_file = _kind_of(source), isinstance(source, FileSource)
    sources = Sources.model_validate({kind: (source,)})
    config = ProblemsConfig(families={}, sources=sources)
    try:
        family = split_rows(config, source.name, look_through(config, source))
    except SourceError as error:
        raise NoProblemsError(str(error)) from None
    problems = [problem for found in family.splits.values() for problem in found]
    counts = ", ".join(f"{len(found)} {split}" for split, found in family.splits.items())
    typer.echo(f"{source.name}: {family.num_rows} rows, {len(problems)} problems ({counts})")
    shown = family.faults if every else family.faults[:_FAULTS_SHOWN]
    _say_list("left out", [str(fault) for fault in shown], len(family.faults))
    if not problems:
        return False
    too_long = _say_lengths(problems, model)
    for problem in problems[:show]:
        _show(problem)
    with Sandbox.start() as sandbox:
        doubts = judge_sample(problems if every else problems[:_JUDGED], sandbox)
    _say_list("the verifier", doubts, len(doubts))
    return not ((of_file and family.faults) or doubts or too_long)


def judge_sample(problems: "Sequence[Problem]", sandbox: "Sandbox") -> list[str]:
    """Run the verifiers on right and wrong answers; says what comes out wrong."""
    from k2core.rewards import verify
    from k2core.rewards.gold import answered, gold_answer, wrong_answer
    from k2core.rewards.telling import find_doubt

    doubts, num_right, num_wrong = list[str](), 0, 0
    for problem in problems:
        right, wrong = gold_answer(problem), wrong_answer(problem)
        for answer in (right, wrong):
            if answer is None:
                continue
            try:
                verdict = verify(problem, answered(problem, answer), sandbox)
            except (ValueError, RuntimeError) as error:
                doubts.append(f"{problem.problem_id}: {error}")
                continue
            passed = verdict.reward >= 1.0
            num_right += answer is right and passed
            num_wrong += answer is wrong and not passed and not verdict.is_faulty
            if verdict.is_faulty or passed is (answer is wrong):
                said = verdict.reason or "it is right"
                doubts.append(f"{problem.problem_id}: of {answer[:60]!r} it says: {said}")
            elif answer is right and (said := find_doubt(problem, sandbox)):
                doubts.append(f"{problem.problem_id}: {said}")
    typer.echo(
        f"verifier {problems[0].verifier}: of {len(problems)} problems it passes "
        f"{num_right} right answers and refuses {num_wrong} wrong ones"
    )
    return doubts


def _say_lengths(problems: "Sequence[Problem]", model: str) -> bool:
    """Tokens of the prompts; True where one leaves no room for an answer."""
    from k2core.problems.fitting import fit_context

    found = _open_codec(model)
    if found is None:
        typer.echo("tokens: no model is recorded yet, so nothing is counted (--model)")
        return False
    codec, context = found
    sizes = sorted(len(codec.encode_prompt(p.messages, p.tools)) for p in problems)
    middle = sizes[len(sizes) // 2]
    typer.echo(f"tokens of a prompt: {sizes[0]} to {sizes[-1]}, median {middle}; context {context}")
    if sizes[0] >= context:
        typer.echo("no prompt leaves room for an answer")
        return True
    too_long = fit_context(problems, codec, context).too_long
    _say_list("too long", [p.problem_id for p in too_long[:_FAULTS_SHOWN]], len(too_long))
    return bool(too_long)


def _open_codec(model: str) -> "tuple[ChatCodec, int] | None":
    from k2core.chat import ChatCodec
    from k2core.model.config import load_shape
    from tasks.store import published_folder
    from workflows.errors import NotRecordedError
    from workflows.find import LATEST, SERVABLE, find_artifact

    try:
        artifact = find_artifact(model, SERVABLE)
    except NotRecordedError:
        if model != LATEST:
            raise
        return None
    folder = published_folder(artifact) / ("policy" if artifact.kind == "release" else "")
    return ChatCodec(folder), load_shape(folder).max_position_embeddings


def _show(problem: "Problem") -> None:
    from k2core.chat import render

    text = render(problem.messages, problem.tools, add_generation_prompt=True)
    expected = {k: v for k, v in problem.expected.items() if k != "code"}
    typer.echo(f"\n{problem.problem_id}\n{text}")
    typer.echo(f"expected: {json.dumps(expected, ensure_ascii=False)[:200]}\n")


def _say_list(title: str, lines: "Sequence[str]", total: int) -> None:
    if not total:
        return
    typer.echo(f"{title}: {total}")
    for line in lines:
        typer.echo(f"  {line}")
    if total > len(lines):
        typer.echo(f"  and {total - len(lines)} more (--all)")


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
    return f"problems.sources.{_kind_of(source)}=[{json.dumps(kept)}]"


def _kind_of(source: "Source") -> str:
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


__all__ = ["NoProblemsError", "app", "check_source", "judge_sample", "setting_of", "state_source"]
