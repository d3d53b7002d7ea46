"""The figures of K2's vendor verifier, and what else a server must keep."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import Field, JsonValue

from k2core.chat.schemas import Schema, read_schema
from k2core.serving.requests import ServingRequest
from k2core.serving.wire import Answer
from schemas.base import Config
from schemas.outside import NotJsonError, read_json


class Figures(Config):
    """Counts, so that every rate can be checked."""

    asked: int = 0
    answered: int = 0
    """Both whole and as a stream, without a fault."""
    faults: dict[str, int] = Field(default_factory=dict)
    """What was wrong -> how often, of all answers; the most frequent first."""
    calls: int = 0
    """In whole answers that were not cut off at the limit of tokens."""
    valid_calls: int = 0
    """Of a declared tool, with arguments that its schema allows."""
    right_ids: int = 0
    """`functions.NAME:IDX`, counted on over the dialogue."""
    cut_off: int = 0
    """Answers that reached the limit of tokens."""
    right_finishes: int = 0
    """Answers whose finish reason says whether they call."""
    equal_streams: int = 0
    """Streams that say what the whole answer says: text, calls, ids, finish reason."""
    triggered: int = 0
    """Answers that call."""
    should_trigger: int = 0
    """Where the reference calls."""
    rightly_triggered: int = 0
    """Both."""
    breaches: list[str] = Field(default_factory=list)
    """The first few invalid calls: request and what is wrong."""

    def rate(self, part: str, whole: str) -> float | None:
        """One count over another; None where there was nothing to count."""
        total = getattr(self, whole)
        return getattr(self, part) / total if total else None

    @property
    def trigger_f1(self) -> float | None:
        """Of calling where the reference calls."""
        total = self.triggered + self.should_trigger
        return 2 * self.rightly_triggered / total if total else None

    @property
    def keeps_its_word(self) -> bool:
        """Whether nothing was wrong that is the server's to keep: when to call is the model's."""
        kept = (
            (self.valid_calls, self.calls),
            (self.right_ids, self.calls),
            (self.right_finishes, self.answered),
            (self.equal_streams, self.answered),
            (self.answered, self.asked),
        )
        return bool(self.asked) and all(part == whole for part, whole in kept)


class WholeAndStream(NamedTuple):
    """One request's answers."""

    whole: Answer
    stream: Answer


_SHOWN = 5


def summarize(
    requests: Iterable[ServingRequest],
    answers: Mapping[str, WholeAndStream],
    reference: Mapping[str, bool] | None = None,
) -> Figures:
    """Count.

    Args:
        requests: what was asked.
        answers: by the request's digest; what is missing was not asked.
        reference: by the request's digest, whether another model calls; else the expert's choice.
    """
    counts, faults, breaches = Counter[str](), Counter[str](), list[str]()
    for request in requests:
        pair = answers.get(request.digest)
        if pair is None:
            continue
        counts["asked"] += 1
        found = {answer.fault for answer in pair if answer.fault}
        faults.update(found)
        if found:
            continue
        counts["answered"] += 1
        called = bool(pair.whole.calls)
        should = (reference or {}).get(request.digest, request.should_call)
        cut = pair.whole.finish == "length"
        counts["cut_off"] += cut
        counts["triggered"] += called
        counts["should_trigger"] += should
        counts["rightly_triggered"] += called and should
        counts["equal_streams"] += pair.whole == pair.stream
        counts["right_finishes"] += cut or (pair.whole.finish == "tool_calls") == called
        if not cut:
            _count_calls(request, pair.whole, counts, breaches)
    return Figures.model_validate(
        {**counts, "faults": dict(faults.most_common()), "breaches": breaches[:_SHOWN]}
    )


def _count_calls(
    request: ServingRequest, answer: Answer, counts: Counter[str], breaches: list[str]
) -> None:
    schemas = dict(map(_schema, request.tools))
    for place, call in enumerate(answer.calls):
        wrong = _breach(schemas, call.name, call.arguments)
        counts["calls"] += 1
        counts["valid_calls"] += not wrong
        counts["right_ids"] += call.id == f"functions.{call.name}:{request.num_made + place}"
        if wrong:
            breaches.append(f"{request.name}: {call.name[:40]} {call.arguments[:60]}: {wrong}")


def _schema(tool: Mapping[str, JsonValue]) -> tuple[str, Schema]:
    function = json.loads(json.dumps(tool["function"]))
    return function["name"], read_schema(function["parameters"])


def _breach(schemas: Mapping[str, Schema], name: str, arguments: str) -> str:
    """What is wrong with a call; empty of a right one."""
    if name not in schemas:
        return "the tool is not declared"
    try:
        given = read_json(arguments)
    except NotJsonError as error:
        return f"arguments are not JSON: {error}"
    if not isinstance(given, dict):
        return "arguments are no object"
    return next(iter(schemas[name].find_breaches(given)), "")
