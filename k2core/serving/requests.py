"""Requests of every kind that a tool-calling client makes, and what is right to do in each."""

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import count, islice

from pydantic import JsonValue

from k2core.agents.expert import Habits, play_expert
from k2core.chat.exchange import to_line
from k2core.problems import FAMILIES
from k2core.problems.family import Family, Posed
from k2core.problems.splits import split_of
from schemas.base import Config
from schemas.chat import Message, ToolSpec
from schemas.problems import ProblemsConfig

_WITH_TOOLS = ("sum_with_tool", "product_with_tool", "lookup", "lookup_chain", "retry", "compare")
_WITHOUT = ("repeat_word", "pick_word", "follow_format")
_PLAIN_EXPERT = Habits(insists=True)


class ServingRequest(Config):
    """A dialogue so far, in the chat-completions form."""

    name: str
    """`KIND/NUMBER`."""
    messages: list[dict[str, JsonValue]]
    """As OpenAI's clients send them."""
    tools: list[dict[str, JsonValue]]
    """Declared tools."""
    num_made: int
    """Calls made before: ids are counted on from here."""
    should_call: bool
    """What the expert does here."""

    @property
    def digest(self) -> str:
        """Names the request in a file of answers."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def list_requests(num: int, seed: int) -> list[ServingRequest]:
    """So many requests, in turn: a first call, a turn after results, and tools that do not fit."""
    return list(islice(_requests(seed), num))


def _requests(seed: int) -> Iterator[ServingRequest]:
    config = ProblemsConfig(seed=seed)
    for number in count():
        rng = random.Random(f"{seed}/serving/{number}")
        with_tools = _pose(config, FAMILIES[_WITH_TOOLS[number % len(_WITH_TOOLS)]], rng)
        family = FAMILIES[with_tools.problem.family]
        dialogue = play_expert(
            with_tools.problem, family.act(with_tools, shortcut=False), _PLAIN_EXPERT, rng
        )
        turns = [n for n, said in enumerate(dialogue.messages) if said.role == "assistant"]
        tools = with_tools.problem.tools
        for kind, turn in (("first", turns[0]), ("later", rng.choice(turns[1:] or turns))):
            yield _request(f"{kind}/{number}", dialogue.messages, turn, tools)
        general = _pose(config, FAMILIES[_WITHOUT[number % len(_WITHOUT)]], rng).problem
        asked = (*general.messages, Message(role="assistant"))
        yield _request(f"unfit/{number}", asked, len(asked) - 1, tools)


def _request(
    name: str, messages: tuple[Message, ...], turn: int, tools: tuple[ToolSpec, ...]
) -> ServingRequest:
    before = messages[:turn]
    line = json.loads(json.dumps(to_line(before, tools)))
    return ServingRequest(
        name=name,
        messages=line["messages"],
        tools=line["tools"],
        num_made=sum(len(message.tool_calls) for message in before),
        should_call=bool(messages[turn].tool_calls),
    )


def _pose(config: ProblemsConfig, family: Family, rng: random.Random) -> Posed:
    while True:
        content = family.draw(rng)
        if split_of(config, family, content) == "held_out":
            return family.pose(content, rng, f"{family.name}/serving", 0.0)
