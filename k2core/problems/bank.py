"""Problems of somebody's own: read once, held against their verifiers, split by what they ask."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from pydantic import JsonValue

from k2core.environments import OWN
from k2core.problems.faults import RowError
from k2core.problems.files import ProblemSourceError, read_bytes, read_rows
from k2core.problems.place import place_of
from k2core.problems.puzzles import draw_puzzles
from k2core.problems.rows import OwnProblem, Split, key_of, read_row
from k2core.problems.worlds import draw_worlds
from schemas.chat import Problem, ToolSpec
from schemas.problems import EnvironmentSource, FileSource, ProblemsConfig, PuzzleSource, Source


class RowFault(NamedTuple):
    """A row that was left out."""

    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.field}: {self.reason}"


class SourceFamily(NamedTuple):
    """A source's problems."""

    splits: Mapping[Split, tuple[Problem, ...]]
    """Each in an order of its own, which is not the file's."""
    num_rows: int
    faults: tuple[RowFault, ...]
    rows: Mapping[str, int]
    """A problem's id -> its row."""

    @property
    def num_problems(self) -> int:
        """In all splits."""
        return sum(map(len, self.splits.values()))


def own_families(config: ProblemsConfig) -> Mapping[str, SourceFamily]:
    """The families of the config's sources, by name; read once a process.

    Raises:
        SourceError: a source cannot be used, or too many of its rows cannot.
    """
    return _read_all(config.model_dump_json(include={"seed", *_SPLITTING, "sources"}))


_SPLITTING = ("held_out_frac", "validation_frac")


@lru_cache(maxsize=4)
def _read_all(config_json: str) -> Mapping[str, SourceFamily]:
    # Any family will do: what is read does not depend on the generated ones.
    stated = ProblemsConfig.model_validate_json(config_json)
    families = {source.name: read_family(stated, source) for source in stated.sources.all}
    _refuse_leaks(families)
    return families


def _refuse_leaks(families: Mapping[str, SourceFamily]) -> None:
    """Hold training against what is set apart, over all sources that are read from files.

    Raises:
        ProblemSourceError: a source trains on what another, by its rows' own `split`, sets apart.
    """
    apart = {
        key_of(problem.messages): problem.problem_id
        for family in families.values()
        for split in ("validation", "held_out")
        for problem in family.splits[split]
        if problem.environment != OWN
    }
    for name, family in families.items():
        trained = [p for p in family.splits["train"] if key_of(p.messages) in apart]
        found = [p for p in trained if p.environment != OWN]
        if found:
            first = found[0]
            raise ProblemSourceError(
                f"{name}: {len(found)} problems of its training part are set apart elsewhere, as "
                f"{first.problem_id} (row {family.rows[first.problem_id]}) is "
                f"{apart[key_of(first.messages)]}: leave them out, or give both rows one split"
            )


def read_family(config: ProblemsConfig, source: Source) -> SourceFamily:
    """One source's problems.

    Raises:
        SourceError: it cannot be used, or more than `max_faulty_frac` of its rows cannot.
    """
    family = split_rows(config, source.name, look_through(config, source))
    if isinstance(source, FileSource):
        check_faults(family, source)
    if not family.num_problems:
        why = f": {family.faults[0]}" if family.faults else ""
        raise ProblemSourceError(f"{source.name}: no row of {family.num_rows} makes a problem{why}")
    return family


def check_faults(family: SourceFamily, source: FileSource) -> None:
    """Hold what was left out against the rule.

    Raises:
        SourceError: it is more than the rule allows; names the first of each kind.
    """
    if len(family.faults) <= source.max_faulty_frac * family.num_rows:
        return
    first = {fault.field: fault for fault in reversed(family.faults)}
    examples = "; ".join(map(str, sorted(first.values())[:3]))
    raise ProblemSourceError(
        f"{source.name}: {len(family.faults)} of {family.num_rows} rows of {source.path} are "
        f"unusable, more than max_faulty_frac={source.max_faulty_frac:g} allows. {examples}. "
        "`k2 problems check` shows all"
    )


def look_through(config: ProblemsConfig, source: Source) -> Iterator[OwnProblem | RowFault]:
    """A source's rows in order, each a problem that its verifier accepts, or a fault."""
    rows: Iterator[tuple[int, OwnProblem | RowError]]
    if isinstance(source, PuzzleSource):
        rows = enumerate(draw_puzzles(source, config.seed), start=1)
    elif isinstance(source, EnvironmentSource):
        rows = enumerate(draw_worlds(source, config.seed), start=1)
    else:
        lines, tools = read_rows(read_bytes(source), source), _tools_of(source)
        rows = ((line.number, _problem_of(line.found, source, tools)) for line in lines)
    yield from _without_twins(rows)


def _problem_of(
    found: Mapping[str, JsonValue] | RowError, source: FileSource, tools: tuple[ToolSpec, ...]
) -> OwnProblem | RowError:
    # Rewards stand above problems, but what makes a row usable is what its verifier takes.
    from k2core.rewards.gold import find_misfit

    if isinstance(found, RowError):
        return found
    try:
        own = read_row(found, source, tools)
    except RowError as error:
        return error
    misfit = find_misfit(own.problem)
    return RowError(*misfit) if misfit else own


def _tools_of(source: FileSource) -> tuple[ToolSpec, ...]:
    """Of the source's live server, as it states them now."""
    if source.server is None:
        return ()
    from k2core.environments.servers import list_tools
    from k2core.tools.servers import ServersMissingError

    try:
        return list_tools(source.server)
    except (ServersMissingError, ValueError) as error:
        raise ProblemSourceError(f"{source.name}: {error}") from None


def _without_twins(
    rows: Iterator[tuple[int, OwnProblem | RowError]],
) -> Iterator[OwnProblem | RowFault]:
    keys: dict[str, tuple[int, OwnProblem]] = {}
    names: dict[str, int] = {}
    for number, own in rows:
        if isinstance(own, RowError):
            yield RowFault(number, own.field, own.reason)
        elif own.key in keys:
            yield RowFault(number, "prompt", _twin(own, *keys[own.key]))
        elif own.problem.problem_id in names:
            first = names[own.problem.problem_id]
            yield RowFault(number, "id", f"{own.problem.problem_id!r} is that of row {first}, too")
        else:
            keys[own.key], names[own.problem.problem_id] = (number, own), number
            yield own._replace(row=number)


def _twin(own: OwnProblem, number: int, first: OwnProblem) -> str:
    """What is to be said of a row that asks what another asks."""
    said = f"asks what row {number} asks"
    if own.split and first.split and own.split != first.split:
        said += f", which is in {first.split}: a question cannot be in {own.split} as well"
    if own.problem.expected.get("answer") != first.problem.expected.get("answer"):
        said += ", and expects another answer"
    return said


def split_rows(
    config: ProblemsConfig, name: str, rows: Iterator[OwnProblem | RowFault]
) -> SourceFamily:
    """Put problems where they belong, by what they ask."""
    splits: dict[Split, list[Problem]] = {"train": [], "validation": [], "held_out": []}
    faults, total, numbers = list[RowFault](), 0, dict[str, int]()
    for own in rows:
        total += 1
        if isinstance(own, RowFault):
            faults.append(own)
            continue
        split = own.split or place_of(config, own.key)
        named = f"{name}/{split}/{own.problem.problem_id}"
        numbers[named] = own.row
        splits[split].append(own.problem.model_copy(update={"problem_id": named}))
    for split, problems in splits.items():
        random.Random(f"{config.seed}/{split}/{name}").shuffle(problems)
    return SourceFamily(
        {s: tuple(found) for s, found in splits.items()}, total, tuple(faults), numbers
    )


def describe_families(config: ProblemsConfig) -> list[dict[str, object]]:
    """A row a source for reports: what was read, where it lies, what was left out and why."""
    return [
        {
            "source": name,
            "rows": family.num_rows,
            **{split: len(found) for split, found in family.splits.items()},
            "left out": len(family.faults),
            "by field": ", ".join(
                f"{count} {field}"
                for field, count in sorted(Counter(f.field for f in family.faults).items())
            ),
        }
        for name, family in own_families(config).items()
    ]
