"""Checks of an answer's form, in the manner of IFEval (arXiv:2311.07911), by kind."""

from k2core.rewards.forms import FORMS, Check, Expected
from schemas.outside import NotJsonError, read_json


def follows(expected: Expected, text: str) -> bool:
    """Whether the text has the form that `expected["kind"]` and its parameters describe.

    Raises:
        ValueError: the kind is unknown, or a parameter is missing.
    """
    kind = str(expected.get("kind"))
    if kind not in _CHECKS:
        raise ValueError(f"expected.kind is {kind!r}; known kinds: {', '.join(sorted(_CHECKS))}")
    try:
        return _CHECKS[kind](expected, text)
    except KeyError as error:
        raise ValueError(f"expected of kind {kind!r} lacks {error}") from None


def _all_of(expected: Expected, text: str) -> bool:
    checks = expected["checks"]
    if not isinstance(checks, list) or not checks:
        raise ValueError("expected.checks must be a list of at least one check")
    return all(follows(check if isinstance(check, dict) else {}, text) for check in checks)


def _json_keys(expected: Expected, text: str) -> bool:
    try:
        value = read_json(text)
    except NotJsonError:
        return False
    wanted = expected["keys"]
    return (
        isinstance(value, dict) and isinstance(wanted, list) and set(value) == set(map(str, wanted))
    )


def _numbered(expected: Expected, text: str) -> bool:
    lines = text.splitlines()
    starts = (line.startswith(f"{i}. ") for i, line in enumerate(lines, start=1))
    return len(lines) == expected["count"] and all(starts)


_CHECKS: dict[str, Check] = {
    **FORMS,
    "all_of": _all_of,
    "contains": lambda e, text: str(e["text"]) in text,
    "contains_times": lambda e, text: text.split().count(str(e["text"])) == e["count"],
    "ends_with": lambda e, text: text.endswith(str(e["text"])),
    "equals": lambda e, text: text == e["text"],
    "json_keys": _json_keys,
    "lacks": lambda e, text: bool(text) and str(e["text"]) not in text,
    "lowercase": lambda _, text: bool(text) and text == text.lower(),
    "num_lines": lambda e, text: len(text.splitlines()) == e["count"],
    "num_words": lambda e, text: len(text.split()) == e["count"],
    "numbered": _numbered,
    "starts_with": lambda e, text: text.startswith(str(e["text"])),
    "uppercase": lambda _, text: bool(text) and text == text.upper(),
}
