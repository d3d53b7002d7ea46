"""Attempts to be paid for a choice or a call that was not made."""

import json
import random

from pydantic import JsonValue

from k2core.rewards import Outcome
from schemas.chat import Message, ToolCall
from tests.k2core.rewards.posing import WORDS, Trial, pose, say


def cheat_choice(rng: random.Random) -> Trial:
    letters = list("ABCDE")
    gold = letters.pop(rng.randrange(5))
    other, third = rng.sample(letters, 2)
    text = rng.choice(
        (
            other,
            f"{gold} or {other}",
            f"({gold}) and ({other})",
            f"not {gold}",
            f"{gold}\n{other}",
            f"The answer is {gold}.\nThe answer is {other}.",
            f"{other}, {gold}, {third}",
            rf"\boxed{{{gold}}} \boxed{{{other}}}",
            rf"\boxed{{{gold}, {other}}}",
            f"<answer>{other}</answer> {gold}",
            f"{gold}{other}",
            f"{gold} {WORDS[0]}",
            f"{gold}? No, {other}",
        )
    )
    choices: list[JsonValue] = list(rng.sample(WORDS, 5))
    return Trial(pose("choice", {"answer": gold, "choices": choices}), say(text))


def cheat_function_calls(rng: random.Random) -> Trial:
    amount = rng.randrange(1, 40)
    gold: dict[str, JsonValue] = {"giver": "Ann", "taker": "Bob", "amount": amount}
    near: tuple[dict[str, JsonValue], ...] = (
        {},
        {**gold, "amount": str(amount)},
        {**gold, "amount": amount + 1},
        {**gold, "amount": amount + 0.5},
        {**gold, "giver": "ann"},
        {**gold, "more": None},
        {**gold, "giver": "Bob", "taker": "Ann"},
    )
    ways: tuple[list[dict[str, JsonValue]], ...] = (
        [rng.choice(near)],
        [gold, gold],
        [gold, rng.choice(near)],
        [],
    )
    problem = pose("function_calls", {"calls": [{"name": "move", "arguments": gold}]})
    made = tuple(
        ToolCall(id=f"functions.move:{n}", name="move", arguments=json.dumps(arguments))
        for n, arguments in enumerate(rng.choice(ways))
    )
    told = Message(role="assistant", content=rng.choice(WORDS), tool_calls=made)
    return Trial(problem, Outcome((*problem.messages, told)))
