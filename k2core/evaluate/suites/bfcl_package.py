"""The Berkeley Function Calling Leaderboard's own items, prompts and checker, from its package.

Its checker imports a table of models, and with it the clients of every provider, and parsers of
Java and JavaScript; neither has a part in judging Python's calls, so both stand empty here.
"""

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from k2core.evaluate.suites.absent import stand_in

Row = dict[str, Any]
Calls = list[dict[str, dict[str, object]]]
_LARGEST = 10**9
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)


class NoCallsError(ValueError):
    """An answer that is no list of calls."""


class ModelCall(NamedTuple):
    """A call as a model made it."""

    name: str
    arguments: Mapping[str, object]


class Package(NamedTuple):
    """What of the package is used."""

    check: Callable[[Sequence[Row], Calls, Sequence[Row], str], Mapping[str, Any]]
    """(functions, calls, admissible answers, category) -> `valid`, `error_type`."""
    decode: Callable[[str], Calls]
    """An answer in the prompted form -> its calls."""
    prompt: Callable[[list[Row], list[Row], str], list[Row]]
    """(messages, functions, item's id) -> messages with the benchmark's system prompt."""
    declare: Callable[[list[Row]], list[Row]]
    """Functions as the benchmark writes them -> tools in OpenAI's form."""


@cache
def load_package() -> Package:
    """Import it, with empty modules for what is not used."""
    stand_in("bfcl_eval.constants.model_config", MODEL_CONFIG_MAPPING=_AnyModel())
    parsers = "bfcl_eval.model_handler.parser"
    stand_in(f"{parsers}.java_parser", parse_java_function_call=_unused)
    stand_in(f"{parsers}.js_parser", parse_javascript_function_call=_unused)
    from bfcl_eval.constants.enums import Language, ModelStyle
    from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
    from bfcl_eval.model_handler import utils

    return Package(
        lambda functions, calls, gold, category: ast_checker(
            functions, calls, gold, Language.PYTHON, category, "any"
        ),
        lambda text: utils.default_decode_ast_prompting(_admit(text)),
        utils.system_prompt_pre_processing_chat_model,
        lambda functions: utils.convert_to_tool(
            functions, GORILLA_TO_OPENAPI, ModelStyle.OPENAI_COMPLETIONS
        ),
    )


def read_rows(category: str) -> list[Row]:
    """A category's items, each with its admissible answers under `ground_truth` if it has any."""
    import bfcl_eval

    data = Path(bfcl_eval.__file__).parent / "data"
    rows = _read_lines(data / f"BFCL_v4_{category}.json")
    gold = data / "possible_answer" / f"BFCL_v4_{category}.json"
    answers = {row["id"]: row["ground_truth"] for row in _read_lines(gold)} if gold.exists() else {}
    return [{**row, "ground_truth": answers.get(row["id"], [])} for row in rows]


def _admit(text: str) -> str:
    """The text, if the package's decoder can read it without running what a model wrote.

    The decoder calls `eval` on sums and lambdas: only sums of small numbers pass.

    Raises:
        NoCallsError: it is no list of calls, or holds more than values.
    """
    stripped = text.strip("`\n ").removeprefix("[").removesuffix("]")
    try:
        tree = ast.parse(f"[{stripped}]", mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoCallsError(f"no list of calls: {type(error).__name__}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda | ast.Starred | ast.NamedExpr):
            raise NoCallsError("holds more than calls and values")
        if isinstance(node, ast.BinOp):
            _admit_sum(node)
    return text


def _admit_sum(node: ast.BinOp) -> None:
    parts = [part for part in ast.walk(node) if isinstance(part, ast.expr)]
    numbers = [part.value for part in parts if isinstance(part, ast.Constant)]
    operators = [part.op for part in parts if isinstance(part, ast.BinOp)]
    if (
        not all(isinstance(part, ast.Constant | ast.BinOp | ast.UnaryOp) for part in parts)
        or not all(isinstance(n, int | float) and abs(n) < _LARGEST for n in numbers)
        or not all(isinstance(operator, _ARITHMETIC) for operator in operators)
    ):
        raise NoCallsError("a sum of other things than numbers")


class _AnyModel(dict[str, object]):
    """Every model's names have `_` where the benchmark's functions have a dot, as OpenAI asks."""

    class _Config:
        underscore_to_dot = True

    def __missing__(self, key: str) -> object:
        return self._Config


def _unused(text: str) -> Calls:
    raise NoCallsError(f"only Python's calls are read: {text[:40]!r}")


def _read_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
