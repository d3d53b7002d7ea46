"""JSON Schemas of strangers: checked without fetching, without end and without an exception.

A schema comes with anybody's dialogues and servers. References lead nowhere but into the schema
itself and the published drafts; work and time are bounded, patterns included; what cannot be
checked within the bounds is a fault like any other.
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from itertools import islice
from typing import Any, NamedTuple

import regex
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY
from pydantic import JsonValue

from schemas.outside import make_plain

_MAX_WORK = 50_000
"""Keywords and their entries that are looked at for one schema or one value."""
_MAX_S = 1.0
_MAX_PATTERN = 1000
_MAX_TEXT = 100_000
_MAX_REPEATS = 10_000
_REPEATS = re.compile(r"\{(?:\d{1,9},)?(\d{1,9}),?\}")
_MAX_FAULTS = 20
_SHOWN = 200


class _TooCostlyError(Exception):
    """The bounds do not suffice; says which."""


class _Budget:
    """What one check may still cost."""

    def __init__(self) -> None:
        self.work = _MAX_WORK
        self.deadline = time.monotonic() + _MAX_S

    def spend(self, work: int) -> None:
        self.work -= work
        if self.work < 0 or time.monotonic() > self.deadline:
            raise _TooCostlyError("takes too long to check")

    def search(self, pattern: str, text: str) -> bool:
        """Whether the pattern is found, within the time that is left."""
        if len(text) > _MAX_TEXT:
            raise _TooCostlyError(f"a text of {len(text):,} characters is too long for a pattern")
        self.spend(1)
        left = max(self.deadline - time.monotonic(), 1e-3)
        try:
            return _compile(pattern).search(text, timeout=left) is not None
        except TimeoutError:
            raise _TooCostlyError(f"pattern {pattern[:80]!r} takes too long") from None


_BUDGET: ContextVar[_Budget] = ContextVar("budget")
_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class Schema(NamedTuple):
    """A JSON Schema and what is wrong with it."""

    parameters: JsonValue
    fault: str = ""
    """Why it is no JSON Schema that can be checked; empty of a good one."""

    def find_breaches(self, value: JsonValue) -> list[str]:
        """How arguments break it, each with its place; nothing of a broken schema."""
        if self.fault:
            return []

        def check() -> list[str]:
            checker = _checker(self.parameters)(self.parameters, registry=REGISTRY)
            errors = islice(checker.iter_errors(value), _MAX_FAULTS)
            return [_describe("arguments", error) for error in errors]

        return _bounded(check)


def read_schema(parameters: object) -> Schema:
    """What a tool declares as the schema of its arguments."""
    try:
        plain = make_plain(parameters)  # type: ignore[arg-type]
    except ValueError as error:
        return Schema(None, f"is {error}")

    def check() -> list[str]:
        for keywords in _objects(plain):
            _check_keywords(keywords, plain)
        kind = _checker(plain)
        _BUDGET.get().spend(len(json.dumps(plain)) // 20)
        try:
            kind.check_schema(plain, format_checker=None)
        except SchemaError as error:
            return [_describe("schema", error)]
        return []

    return Schema(plain, next(iter(_bounded(check)), ""))


def _bounded(check: Callable[[], list[str]]) -> list[str]:
    token = _BUDGET.set(_Budget())
    try:
        return check()
    except _TooCostlyError as error:
        return [str(error)]
    except RecursionError:
        return ["refers to itself without end, or is nested too deeply"]
    except Exception as error:  # unknown references, patterns that are none, numbers too large
        return [f"cannot be checked: {' '.join(str(error).split())[:_SHOWN]}"]
    finally:
        _BUDGET.reset(token)


def _describe(of: str, error: ValidationError | SchemaError) -> str:
    place = "".join(f"/{part}" for part in error.absolute_path)
    return f"{of}{place}: {error.message[:_SHOWN]}"


@lru_cache(1000)
def _compile(pattern: str) -> "regex.Pattern[str]":
    repeats = math.prod(max(int(n), 1) for n in _REPEATS.findall(pattern))
    if len(pattern) > _MAX_PATTERN or repeats > _MAX_REPEATS:
        raise _TooCostlyError(f"pattern {pattern[:80]!r} is too large")
    return regex.compile(pattern)


def _objects(schema: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """Every object of a schema, wherever it stands."""
    left = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
            yield value
        elif isinstance(value, list):
            left += value


def _check_keywords(keywords: dict[str, JsonValue], schema: JsonValue) -> None:
    """Refuse what leads elsewhere or cannot be bounded, even where no value ever meets it."""
    target = keywords.get("$ref")
    uri = target.partition("#")[0] if isinstance(target, str) else ""
    if uri and uri not in REGISTRY:
        raise _TooCostlyError(f"$ref {uri[:80]!r} leads out of the schema")
    if isinstance(pattern := keywords.get("pattern"), str):
        _compile(pattern)
    if isinstance(named := keywords.get("patternProperties"), dict):
        if any("unevaluatedProperties" in each for each in _objects(schema)):
            raise _TooCostlyError("unevaluatedProperties beside patternProperties")
        for each in named:
            _compile(each)


def _checker(parameters: JsonValue) -> Any:
    """The draft that the schema names, its keywords bounded."""
    stated = parameters if isinstance(parameters, dict) else {}
    return _bound(validator_for(stated, default=Draft202012Validator))


@cache
def _bound(draft: Any) -> Any:
    own: dict[str, _Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    keywords = {**draft.VALIDATORS, **{k: v for k, v in own.items() if k in draft.VALIDATORS}}
    return extend(draft, {name: _counted(keyword) for name, keyword in keywords.items()})


def _counted(keyword: _Keyword) -> _Keyword:
    def check(
        checker: Any, value: object, instance: object, schema: object
    ) -> Iterator[ValidationError]:
        size = len(value) if isinstance(value, list | dict) else 0
        _BUDGET.get().spend(1 + size)
        yield from keyword(checker, value, instance, schema) or ()

    return check


def _pattern(checker: Any, pattern: str, instance: object, _: object) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _BUDGET.get().search(pattern, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern[:80]!r}")


def _pattern_properties(
    checker: Any, patterns: Mapping[str, object], instance: object, _: object
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _BUDGET.get().search(pattern, name):
                yield from checker.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(
    checker: Any, allowed: object, instance: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns, budget = schema.get("patternProperties", {}), _BUDGET.get()
    for name in [name for name in instance if name not in schema.get("properties", {})]:
        if any(budget.search(pattern, name) for pattern in patterns):
            continue
        if isinstance(allowed, dict):
            yield from checker.descend(instance[name], allowed, path=name)
        elif allowed is False:
            yield ValidationError(f"Additional properties are not allowed ({name[:80]!r})")


def _unique_items(
    checker: Any, unique: object, instance: object, _: object
) -> Iterator[ValidationError]:
    if unique is True and isinstance(instance, list):
        # 1 and 1.0 are equal in JSON Schema, 1 and true are not.
        texts = [json.dumps(_same_numbers(item), sort_keys=True) for item in instance]
        if len(set(texts)) < len(texts):
            yield ValidationError("items are not unique")


def _same_numbers(value: JsonValue) -> JsonValue:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _same_numbers(inner) for key, inner in value.items()}
    return [_same_numbers(inner) for inner in value] if isinstance(value, list) else value
