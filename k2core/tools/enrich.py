"""Richer words for synthetic tools, by a model behind an endpoint; the interface stays what it is.

The model is asked for the whole declaration again. It counts only if nothing but descriptions has
changed and these say more than before: a model that adds an argument, drops a bound or renames a
tool would teach calls that the simulator refuses.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from k2core.agents.endpoint import ChatModel
from k2core.chat import SPECIAL_TOKENS
from schemas.chat import Message, ToolSpec

_ASK = (
    "Here is a tool's declaration. Write it again with better descriptions: what the tool does and "
    "returns, and what each argument means, in one or two sentences each. Change nothing else: the "
    "same name, arguments, types and required list. Answer with the JSON object alone.\n\n{spec}"
)
_MAX_TOKENS = 1024
_MAX_WORDS = 120
_WORDS = re.compile(r"[a-z0-9]+")


class Enriched(NamedTuple):
    """What came of one tool."""

    before: ToolSpec
    after: ToolSpec | None
    """The richer declaration; None if it was rejected."""
    reason: str
    """Why it was rejected; empty if it was not."""
    said: str
    """What the model wrote."""

    def to_json(self) -> dict[str, Any]:
        """A line of `enriched.jsonl` or `rejects.jsonl`."""
        spec = self.after.model_dump(mode="json") if self.after else None
        before = self.before.model_dump(mode="json")
        return {"before": before, "after": spec, "reason": self.reason, "said": self.said}


def enrich_tools(specs: Iterable[ToolSpec], model: ChatModel, seed: int = 0) -> Iterator[Enriched]:
    """Ask for each, several at a time; order is kept.

    Raises:
        EndpointError: the endpoint failed, which says nothing about a tool.
    """

    def ask(spec: ToolSpec) -> Enriched:
        text = _ASK.format(spec=json.dumps(spec.model_dump(mode="json"), ensure_ascii=False))
        turn = model.say([Message(role="user", content=text)], (), _MAX_TOKENS, seed)
        return judge_words(spec, turn.message.content)

    with ThreadPoolExecutor(model.endpoint.max_concurrent) as threads:
        yield from threads.map(ask, specs)


def judge_words(before: ToolSpec, said: str) -> Enriched:
    """Hold what a model wrote against the declaration that it was given."""
    after = _read(said)
    if isinstance(after, str):
        return Enriched(before, None, after, said)
    reason = find_change(before, after)
    return Enriched(before, None if reason else after, reason, said)


def find_change(before: ToolSpec, after: ToolSpec) -> str:
    """What is wrong with a rewritten declaration; empty if only its words are, and are richer."""
    if after.name != before.name:
        return f"the name became {after.name}"
    if _bare(after.parameters) != _bare(before.parameters):
        return "the schema changed"
    texts = {"description": (before.description, after.description)} | {
        f"argument {name}": (_text(old), _text(_properties(after)[name]))
        for name, old in _properties(before).items()
    }
    for where, (old, new) in texts.items():
        if len(_words(new)) < len(_words(old)) or not new:
            return f"{where} says less"
        if len(new.split()) > _MAX_WORDS:
            return f"{where} has more than {_MAX_WORDS} words"
        if any(token in new for token in SPECIAL_TOKENS):
            return f"{where} holds a special token"
    if len(_words(after.description)) <= len(_words(before.description)):
        return "description says no more"
    return ""


def enrich_into(
    folder: Path, specs: Sequence[ToolSpec], model: ChatModel, seed: int = 0
) -> tuple[int, int]:
    """Append to `enriched.jsonl` and `rejects.jsonl`; what they hold already is not asked again.

    Returns:
        How many were enriched and rejected by now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "enriched.jsonl", folder / "rejects.jsonl"]
    known = {_key(before) for path in paths for before in _read_lines(path)}
    with paths[0].open("a") as good, paths[1].open("a") as bad:
        left = [spec for spec in specs if _key(spec) not in known]
        for found in enrich_tools(left, model, seed):
            file = good if found.after else bad
            file.write(json.dumps(found.to_json(), ensure_ascii=False) + "\n")
            file.flush()
    enriched, rejected = (sum(1 for _ in _read_lines(path)) for path in paths)
    return enriched, rejected


def _read_lines(path: Path) -> Iterator[ToolSpec]:
    """Declarations asked for; a line that a kill cut short is dropped from the file."""
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        aside = path.with_suffix(".aside")
        aside.write_text("".join(lines := lines[:-1]))
        aside.rename(path)
    for line in lines:
        yield ToolSpec.model_validate(json.loads(line)["before"])


def _read(said: str) -> ToolSpec | str:
    text = re.sub(r"^```\w*\n|\n?```$", "", said.strip())
    try:
        return ToolSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        return f"no declaration: {'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"


def _bare(schema: Any, *, names: bool = False) -> Any:
    """A schema without descriptions; an argument may be called `description` all the same."""
    if isinstance(schema, dict):
        return {
            key: _bare(value, names=key == "properties" and not names)
            for key, value in schema.items()
            if names or key != "description"
        }
    return [_bare(value) for value in schema] if isinstance(schema, list) else schema


def _properties(spec: ToolSpec) -> dict[str, Any]:
    found: Any = spec.parameters.get("properties", {})
    return dict(found)


def _text(schema: Any) -> str:
    return str(schema.get("description", ""))


def _words(text: str) -> set[str]:
    return set(_WORDS.findall(text.lower()))


def _key(spec: ToolSpec) -> str:
    return spec.model_dump_json()
