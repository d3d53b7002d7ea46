"""reasoning-gym's scorers, without their `eval` of what a model wrote.

Some scorers call `eval` or sympy's `parse_expr`, which is one, on the answer: an answer could look
up what is expected in the scorer's own frames. Literals and arithmetic pass.
"""

import ast
import re
import sys
from typing import Any

import sympy
from reasoning_gym.factory import DATASETS

_FUNCTIONS = re.compile("(a?(sin|cos|tan)|sec|csc|cot|(sin|cos|tan)h|exp|log|sqrt)")
_MAX_LENGTH = 2000
_parse = sympy.parse_expr
_ABSURD = "?"


def score(given: dict[str, Any]) -> dict[str, Any]:
    """`gold`: whether the scorer tells the entry's answer from nonsense; `score`: its verdict."""
    kind, config = DATASETS[given["dataset"]]
    scorer = object.__new__(kind)  # a scorer needs no data set, which would be read from files
    scorer.config = config()
    _disarm(sys.modules[kind.__module__])
    entry = given["entry"]
    gold = _score(scorer, entry["answer"], entry) >= 1.0 > _score(scorer, _ABSURD, entry)
    earned = _score(scorer, given["answer"], entry)
    if given["dataset"] == "puzzle24" and not _uses_its_numbers(given["answer"], entry):
        earned = 0.0
    return {"gold": gold, "score": earned}


def _uses_its_numbers(answer: str, entry: dict[str, Any]) -> bool:
    """What puzzle24's scorer leaves out: `4*6*1*1` is 24 whatever the numbers."""
    used = sorted(map(int, re.findall(r"\d{1,9}", answer)))
    return bool(used == sorted(entry["metadata"]["numbers"]))


def parse_arithmetic(text: str, *rest: Any, **named: Any) -> Any:
    """`sympy.parse_expr` of names of one letter, known functions, numbers and operators."""
    names = re.findall(r"[^\W\d]\w*", text)
    if any(len(name) > 1 and not _FUNCTIONS.fullmatch(name) for name in names):
        raise ValueError("not arithmetic: unknown name")
    plain = re.fullmatch(r"[\w\s+\-*/^().,=]*", text)
    if not plain or len(text) > _MAX_LENGTH or re.search(r"\.\s*[^\W\d]", text):
        raise ValueError("not arithmetic")
    return _parse(text, *rest, **named)


def _disarm(module: Any) -> None:
    # bitwise_arithmetic evaluates its own problem, which is no literal, and never the answer.
    if not module.__name__.endswith("bitwise_arithmetic"):
        module.eval = ast.literal_eval
    if getattr(module, "parse_expr", None) is _parse:
        module.parse_expr = parse_arithmetic


def _score(scorer: Any, answer: str, entry: dict[str, Any]) -> float:
    try:
        return float(scorer.score_answer(answer, entry))
    except (ImportError, OSError):  # the scorer's failure, not the answer's
        raise
    except Exception:  # an answer that no scorer can read is wrong
        return 0.0


sympy.parse_expr = parse_arithmetic
# What sympy imports only when it is needed has to be there before a job loses its files.
for _dataset in ("simple_integration", "intermediate_integration"):
    _facts = {"integrand": "2*x + sin(x)", "variable": "x", "problem_type": "by_parts"}
    score(
        {
            "dataset": _dataset,
            "entry": {"answer": "x**2 - cos(x) + C", "metadata": _facts},
            "answer": "x**2",
        }
    )
score(
    {
        "dataset": "polynomial_multiplication",
        "entry": {"answer": "x**2 + x", "metadata": {}},
        "answer": "x*(x + 1)",
    }
)
