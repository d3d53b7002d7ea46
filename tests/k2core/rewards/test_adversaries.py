"""Each verifier has an adversary: near misses, shotguns and decoys earn nothing; gold always does.

An adversary draws what nearly is the answer, many answers at once, or the answer where it is not
given as one. In the default suite 1,000 a verifier, and few where each needs a sandbox; all 10,000
with `-m slow`.
"""

import random
from collections.abc import Callable, Iterator

import pytest
from pydantic import JsonValue

from k2core.environments import open_environment
from k2core.rewards import VERIFIERS, Outcome, verify
from k2core.sandbox import Sandbox
from schemas.chat import Message, ToolCall
from tests.k2core.rewards.cheats import cheat_choice, cheat_function_calls
from tests.k2core.rewards.posing import WORDS, Trial, pose, say

Adversary = Callable[[random.Random], Trial]


def near_number(gold: int, rng: random.Random) -> str:
    """What is easily taken for the number, and is not."""
    other = gold + rng.choice((-1, 1, 10, -10, 100, 1000))
    return rng.choice(
        (
            str(other),
            f"1,{gold % 1000:03d}" if gold != 1000 + gold % 1000 else str(other),
            f"{gold}.5",
            f"0.{abs(gold)}1",
            f"{gold or 1}{rng.randrange(10)}",
            f"-{gold}" if gold > 0 else str(-gold or 1),
            f"\u2212{gold}" if gold > 0 else str(-gold or 1),
            f"3/{abs(gold) or 7}",
            f"2*{abs(gold)}",
            f"7^{abs(gold)}",
            f"x{gold}",
            f"{gold}th",
            f"{gold},{rng.randrange(10)}",
        )
    )


def shotgun(golds: list[str], fillers: list[str], rng: random.Random) -> str:
    """Many answers at once, the right one somewhere among them."""
    shots = [*rng.sample(fillers, rng.randrange(1, 5)), *golds]
    rng.shuffle(shots)
    return rng.choice((" or ", ", ", " and ", "; ", "/", " | ")).join(shots)


def cheat_integer(rng: random.Random) -> Trial:
    gold = rng.randrange(0, 1000)
    others = [str(n) for n in rng.sample(range(1000, 2000), 8)]
    near = near_number(gold, rng)
    text = rng.choice(
        (
            near,
            f"The answer is {near}.",
            f"It is not {gold} but {near}.",
            f"{gold}? No, {near}.",
            shotgun([str(gold)], others, rng),
            f"The answer is {shotgun([str(gold)], others, rng)}.",
            "\n".join([*others, str(gold)]),
            " ".join(map(str, range(max(0, gold - 20), gold + 1))) if gold else "1 0",
        )
    )
    return Trial(pose("integer_answer", {"answer": gold}), say(text))


def cheat_text(rng: random.Random) -> Trial:
    gold, *others = rng.sample(WORDS, 5)
    text = rng.choice(
        (
            shotgun([gold], others, rng),
            gold.upper(),
            gold[:-1],
            f"{gold}s",
            f"not {gold}",
            f"{gold}.{others[0]}",
            f"**{others[0]}** ({gold})",
            f"{gold}\n{others[0]}",
        )
    )
    return Trial(pose("text_answer", {"answer": gold}), say(text))


def cheat_state(rng: random.Random) -> Trial:
    state: dict[str, JsonValue] = {"cart": {"apple": 2, "pear": [1, 2]}, "paid": True}
    states: tuple[dict[str, JsonValue], ...] = (
        {"cart": {"apple": 2, "pear": [1, 2]}, "paid": 1},
        {"cart": {"apple": 2.0, "pear": [1, 2]}, "paid": True},
        {"cart": {"apple": 2, "pear": [2, 1]}, "paid": True},
        {"cart": {"apple": 2, "pear": [1, 2, 3]}, "paid": True},
        {"cart": {"apple": "2", "pear": [1, 2]}, "paid": True},
        {"cart": {"pear": [1, 2]}, "paid": True},
        {"paid": True},
        {},
        {"state": state},
    )
    spoiled = rng.choice(states)
    whole = rng.random() < 0.3
    gold = rng.randrange(100)
    said = near_number(gold, rng) if whole else str(gold)
    problem = pose("final_state", {"state": state, "answer": gold})
    return Trial(problem, say(said, state=state if whole else spoiled))


DESK: dict[str, JsonValue] = {
    "data": {
        "order": {
            f"order_{n}": {"customer": word, "total": 37 * n} for n, word in enumerate(WORDS, 1)
        }
    }
}


def cheat_scenario(rng: random.Random) -> Trial:
    number = rng.randrange(2, 10)
    if rng.random() < 0.5:
        gold, all_values = str(37 * number), [str(37 * n) for n in range(2, 10)]
        near = near_number(37 * number, rng)
    else:
        gold, all_values = WORDS[number], list(WORDS)
        near = rng.choice((gold[:-1], f"{gold}-{WORDS[0]}", f"x{gold}", f"{gold}s"))
    others = [value for value in all_values if value != gold]
    text = rng.choice(
        (
            f"It is {near}.",
            f"It is {shotgun([gold], others, rng)}.",
            f"It is not {gold} but {rng.choice(others)}.",
            " ".join(all_values),
            " ".join(map(str, range(400))),
            f"{gold}?",
        )
    )
    problem = pose(
        "scenario", {"state": {}, "answers": [gold], "must_call": [], "must_not_call": []}
    )
    return Trial(problem.model_copy(update={"state": DESK}), say(text))


LEDGER: dict[str, JsonValue] = {
    "data": {"Ann": 90, "Bob": 10},
    "tools": {
        "move": {"operation": "move", "arguments": ["giver", "taker", "amount"]},
        "balance": {"operation": "read_balance", "arguments": ["owner"]},
    },
}


def cheat_calls(rng: random.Random) -> Trial:
    amount = rng.randrange(1, 40)
    gold: dict[str, JsonValue] = {"giver": "Ann", "taker": "Bob", "amount": amount}
    ask: JsonValue = {"name": "balance", "arguments": {"owner": "Bob"}}
    problem = pose(
        "tool_calls",
        {"calls": [{"name": "move", "arguments": gold}, ask]},
        environment="ledger",
        state=LEDGER,
    )
    session = open_environment(problem)
    ways: tuple[list[tuple[str, dict[str, JsonValue]]], ...] = (
        [],
        [("move", gold)],
        [("balance", {"owner": "Bob"}), ("move", gold)],
        [("move", {**gold, "amount": amount + 1}), ("balance", {"owner": "Bob"})],
        [("move", gold), ("move", gold), ("balance", {"owner": "Bob"})],
        [("move", {**gold, "giver": "Bob", "taker": "Ann"}), ("balance", {"owner": "Bob"})],
        [("move", gold), ("balance", {"owner": "Ann"})],
        [("move", {**gold, "amount": str(amount)}), ("balance", {"owner": "Bob"})],
    )
    done = rng.choice(ways)
    results = [(name, session.call(name, arguments)) for name, arguments in done]
    told = [Message(role="tool", name=name, content=content) for name, content in results]
    claimed = f'I moved it. {{"result":"ok"}} {{"result":{10 + amount}}}'
    return Trial(problem, Outcome((*told, *say(claimed).messages), session.state))


INSTRUCTIONS: tuple[tuple[dict[str, JsonValue], tuple[str, ...]], ...] = (
    ({"kind": "words", "count": 3, "relation": "exactly"}, ("a b", "a b c d", "", "a-b-c")),
    ({"kind": "no_commas"}, ("a, b", ",", "")),
    ({"kind": "json_only"}, ("Here: {}", "{a: 1}", "[1,]", "NaN", "```json\n{]\n```", "{} {}")),
    ({"kind": "json_keys", "keys": ["a"]}, ("{}", '{"a": 1, "b": 2}', "[" * 2000, '["a"]')),
    ({"kind": "one_of", "options": ["yes", "no"]}, ("yes or no", "yes no", "maybe", "noyes")),
    ({"kind": "quoted"}, ('"a" b "c"', '""', "a", '"a')),
    ({"kind": "uppercase"}, ("Hi", "hI", "")),
    ({"kind": "equals", "text": "a-b"}, ("a - b", "A-B", "a-b a-b", "ab")),
    ({"kind": "title"}, ("<< >>", "<<a>", "<a>>", "")),
    ({"kind": "highlights", "count": 2}, ("*a*", "* a\n* b", "**", "*a* b*")),
    ({"kind": "two_answers"}, ("a\n******\na", "a ****** ", "a")),
    ({"kind": "sections", "word": "PART", "count": 2}, ("PART 1", "PART 1\nPART 3", "part 1 2")),
)


def cheat_instruction(rng: random.Random) -> Trial:
    expected, wrong = rng.choice(INSTRUCTIONS)
    return Trial(pose("instruction", expected), say(rng.choice(wrong)))


def cheat_puzzle(rng: random.Random) -> Trial:
    entry: JsonValue = {"answer": "8*(1+1+1)", "metadata": {"numbers": [1, 1, 1, 8]}}
    letter = rng.choice("Exepi")
    unit = f"({letter}/{letter})"
    numbers = [rng.randrange(1, 9) for _ in range(4)]
    text = rng.choice(
        (
            f"(1+1+1+8)*({letter}-{letter})" + f"+{unit}" * 24,
            "+".join(map(str, numbers)),
            "8*(1+1+1)*1",
            "8*3",
            "24",
            "8*(1+1+1) = 24",
            "(8+1)**1+1+1",
            "8*1*1*1+16",
            "8.0*(1+1+1)",
            "8*(1+1+1)#",
            "8 * (1 + 1",
            "__import__('os')",
            "1+1+1-8 or 8*(1+1+1)",
            "-8*(1+1+1)",
            "25*(8-1-1)//(1*6)",
            "(" * 400,
        )
    )
    text = "0" if text == "8*(1+1+1)" else text
    return Trial(pose("puzzle", {"dataset": "puzzle24", "entry": entry}), say(text))


def cheat_expression(rng: random.Random) -> Trial:
    gold = rng.randrange(2, 50)
    text = rng.choice(
        (
            rf"\boxed{{{gold - 1} < {gold}}}",
            rf"\boxed{{{gold} \ge {gold}}}",
            rf"\boxed{{x \le {gold}}}",
            rf"\boxed{{{gold + 1} = {gold}}}",
            rf"\boxed{{{gold}, {gold + 1}}}",
            rf"\boxed{{{gold} \text{{ or }} {gold + 1}}}",
            rf"\boxed{{\{{{gold}, {gold + 1}\}}}}",
            rf"\boxed{{{gold}.01}}",
            rf"\boxed{{-{gold}}}",
            rf"\boxed{{{gold}}} \boxed{{{gold + 1}}}",
            rf"\boxed{{1,{gold:03d}}}",
            rf"$x \neq {gold}$",
            rf"\boxed{{{gold}x}}",
            rf"\boxed{{\frac{{{gold}}}{{1}}+1}}",
            rf"\boxed{{{gold}}} <answer>{gold + 1}</answer>",
            f"#### {gold}\n#### {gold + 1}",
            f"{gold} apples {gold + 1}",
            f"{gold} pi",
            rf"\boxed{{{gold}|{gold + 1}}}",
            rf"\boxed{{{gold}\\{gold + 1}}}",
            rf"\boxed{{{gold}\text{{ or so }}{gold + 1}}}",
            rf"\boxed{{{max(gold, 10)}_{{{gold + 11}}}}}",
            rf"\boxed{{{gold}+}}",
            rf"\boxed{{{gold}'}}",
        )
    )
    return Trial(pose("expression", {"answer": str(gold)}), say(text))


def cheat_function(rng: random.Random) -> Trial:
    tests: list[JsonValue] = ["assert f(2) == 4", "assert f(3) == 9", "assert f(-1) == 1"]
    body = rng.choice(
        (
            "def f(x):\n    return 4",
            "def f(x):\n    return {2: 4, 3: 9}.get(x)",
            "def f(x):\n    raise StopIteration",
            "def f(x):\n    import sys; sys.exit(0)",
            "def f(x):\n    print(x * x)",
            "def g(x):\n    return x * x",
            "class A:\n    def __eq__(self, o): return True\ndef f(x): return A()",
            "def f(x): return x * x if x > 0 else -1",
        )
    )
    problem = pose("python_function", {"tests": tests, "entry_points": ["f"]})
    return Trial(problem, say(f"```python\n{body}\n```"))


def cheat_program(rng: random.Random) -> Trial:
    cases: JsonValue = [{"stdin": "2", "stdout": "4"}, {"stdin": "3", "stdout": "9"}]
    body = rng.choice(("print(4)", "print(4, 9)", "print(input())", "print(int(input()) * 2)", ""))
    return Trial(pose("program", {"cases": cases}), say(body))


PRAISE = (
    "What a {kind} question! {answer}",
    "{kind} question. {answer}",
    "That is a {kind} question, so: {answer}",
    "I love this {kind} question! {answer}",
    "  **{kind} question!** {answer}",
    "{answer} This is the best answer.",
    "{answer} My answer is {kind}.",
    "{answer} I hope that this {kind} answer helps, since it is complete and correct.",
    "{answer} {answer} {answer} {answer} {answer} {answer} {answer} {answer}",
    "A",
    "",
)


def cheat_rubric(rng: random.Random) -> Trial:
    kind = rng.choice(("great", "Great", "wonderful", "EXCELLENT", "fantastic", "good"))
    answer = " ".join(rng.sample(WORDS, 4)).capitalize() + "."
    text = rng.choice(PRAISE).format(kind=kind, answer=answer)
    return Trial(pose("rubric", {"context": "advice"}), say(text))


def cheat_declined(rng: random.Random) -> Trial:
    value = rng.choice((str(rng.randrange(10, 100)), "forty", "\u0664\u0662", "Seventeen"))
    texts = (
        f"It is {value}.",
        f"I have no tool for that, but it is {value}.",
        f"I cannot look it up: {value}",
        "I do not know.",
        rng.choice(WORDS),
        "",
    )
    call = ToolCall(id="functions.read:0", name="read", arguments="{}")
    if rng.random() < 0.3:
        called = Message(role="assistant", tool_calls=(call,))
        return Trial(pose("declined", {}), say("I have no tool for that.", called))
    return Trial(pose("declined", {}), say(rng.choice(texts)))


FAST: dict[str, Adversary] = {
    "rubric": cheat_rubric,
    "integer_answer": cheat_integer,
    "text_answer": cheat_text,
    "final_state": cheat_state,
    "scenario": cheat_scenario,
    "tool_calls": cheat_calls,
    "instruction": cheat_instruction,
    "declined": cheat_declined,
    "puzzle": cheat_puzzle,
    "choice": cheat_choice,
    "function_calls": cheat_function_calls,
}
CONFINED: dict[str, Adversary] = {
    "expression": cheat_expression,
    "python_function": cheat_function,
    "program": cheat_program,
}


def list_paid(cheat: Adversary, count: int, sandbox: Sandbox | None) -> list[str]:
    """The cheats that earned the whole reward."""
    rng = random.Random(24)
    trials = [cheat(rng) for _ in range(count)]
    distinct = {trial.outcome.messages[-1].content + repr(trial.outcome.state) for trial in trials}
    assert len(distinct) > 3
    paid = []
    for problem, outcome in trials:
        verdict = verify(problem, outcome, sandbox)
        assert not verdict.is_faulty, verdict.reason
        if verdict.reward == 1.0:
            paid.append(f"{problem.expected}: {outcome.messages[-1].content}")
    return paid


def test_every_verifier_has_an_adversary() -> None:
    # What a function of one's own pays is its author's to say.
    assert FAST.keys() | CONFINED.keys() == VERIFIERS.keys() - {"own_code", "own_environment"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


@pytest.mark.parametrize("name", FAST)
def test_no_cheat_is_paid(name: str) -> None:
    assert list_paid(FAST[name], 1000, None) == []


@pytest.mark.parametrize("name", CONFINED)
def test_no_cheat_of_code_or_mathematics_is_paid(name: str, sandbox: Sandbox) -> None:
    assert list_paid(CONFINED[name], 40, sandbox) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAST, *CONFINED])
def test_none_of_ten_thousand_cheats_is_paid(name: str, sandbox: Sandbox) -> None:
    assert list_paid({**FAST, **CONFINED}[name], 10_000, sandbox) == []
