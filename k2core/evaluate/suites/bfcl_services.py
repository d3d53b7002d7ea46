"""The simulated services of BFCL's several turns, and its checker over them, from its package.

Its executor calls `eval` on text. What reaches it from a model is the name of a declared function
with literals, so nothing that a model wrote is run.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bfcl_eval.constants import executable_backend_config as services
from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_checker, multi_turn_utils

from k2core.evaluate.suites.bfcl_package import ModelCall, Row, read_rows

Turns = Sequence[Sequence[Sequence[str]]]
"""Turn -> answer -> calls, as the checker reads them."""
_UNKNOWN = "undefined_function()"
"""Stands for a call of what is not declared: the executor answers with an error, as it would."""
_LARGEST = 10**5
_HEAVY = {"power", "square_root", "logarithm"}
"""Functions whose time grows with a number that they are given."""
_plays = itertools.count()


def read_items(category: str) -> list[Row]:
    """Items with the functions of their services; those that come late stand by their turn."""
    return [_with_functions(row) for row in read_rows(f"multi_turn_{category}")]


def _with_functions(row: Row) -> Row:
    declared = {f["name"]: f for name in row["involved_classes"] for f in _functions_of(name)}
    late = {
        turn: [declared.pop(name) for name in names]
        for turn, names in row.get("missed_function", {}).items()
    }
    return {**row, "function": list(declared.values()), "missed_function": late}


def _functions_of(service: str) -> list[Row]:
    data = Path(services.__file__).parents[1] / "data" / "multi_turn_func_doc"
    text = (data / services.MULTI_TURN_FUNC_DOC_FILE_MAPPING[service]).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]


@contextmanager
def named_play() -> Iterator[str]:
    """A name for services of one's own; the package keeps them in its module, by name."""
    name = f"play{next(_plays)}"
    try:
        yield name
    finally:
        kept = vars(multi_turn_utils)
        for key in [key for key in kept if key.startswith(f"{name}_")]:
            del kept[key]


def write_call(call: ModelCall, declared: Collection[str]) -> str:
    """The call as the executor reads it."""
    numbers = [v for v in call.arguments.values() if isinstance(v, int | float)]
    endless = call.name in _HEAVY and any(abs(number) > _LARGEST for number in numbers)
    if endless or call.name not in declared:
        return _UNKNOWN
    if not all(key.isidentifier() for key in call.arguments):
        return f"{call.name}(**{call.arguments!r})"
    return f"{call.name}({','.join(f'{k}={v!r}' for k, v in call.arguments.items())})"


def make_calls(row: Row, play: str, calls: Sequence[str]) -> list[str]:
    """What the item's services answer, one by one; `play` is who has called them before."""
    answers: list[str]
    answers, _ = multi_turn_utils.execute_multi_turn_func_call(
        list(calls),
        row["initial_config"],
        row["involved_classes"],
        play,
        row["id"],
        long_context="long_context" in row["id"],
    )
    return answers


def check_turns(row: Row, turns: Turns) -> str:
    """Why the benchmark's checker refuses the calls; empty where it does not."""
    with named_play() as play:
        found = multi_turn_checker.multi_turn_checker(
            [[list(step) for step in turn] for turn in turns],
            row["ground_truth"],
            row,
            "",  # it reads the category from the item's id
            play,
        )
    return "" if found["valid"] else str(found["error_type"]).removeprefix("multi_turn:")
