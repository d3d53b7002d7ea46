"""tau2-bench with scripted users: our loop against the package's own, task by task."""

import gc
import json
import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
import pytest
from inspect_ai.tool import ToolCall

from k2core.evaluate.harness import Subject, run_suites
from k2core.evaluate.suites import tau2
from k2core.evaluate.suites.tau2_package import (
    DOMAINS,
    DONE,
    SOLO,
    STOP,
    judge_messages,
    load_package,
    open_desk,
    read_tasks,
    scenario_of,
)
from k2core.evaluate.suites.tau2_user import (
    AGREES,
    KNOWS_NO_MORE,
    CustomerBrief,
    ScriptedCustomer,
    as_first_person,
)
from k2core.sandbox import Sandbox
from schemas.benchmarks import BenchmarkConfig
from schemas.endpoint import Endpoint
from tests.k2core.evaluate.answering import Body, Said, answering

Way = Literal["reference", "half of it", "nothing"]
SCENARIO = CustomerBrief(
    "You want to return your lamp. You're in a hurry.",
    "You are Ann Lee in 10115.",
    "You do not remember your order.",
    "If the agent offers you a voucher, you refuse.",
)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("You want your money; it was sent to you.", "I want my money; it was sent to me."),
        ("You're sure you've paid. Be yourself.", "I am sure I have paid. Be myself."),
        ("  You were told.\n\nYoung or not.", "I was told. Young or not."),
        ("", ""),
    ],
)
def test_what_a_user_is_told_is_said_in_the_first_person(theirs: str, ours: str) -> None:
    assert as_first_person(theirs) == ours


def test_a_scripted_user_tells_what_it_knows_agrees_and_ends() -> None:
    user = ScriptedCustomer(SCENARIO)
    assert user.opening == "I want to return my lamp. I am in a hurry."
    known = user.reply("Who are you?")
    assert known == "I am Ann Lee in 10115. I do not remember my order."
    assert user.reply("Shall I return it?") == (
        f"{AGREES} If the agent offers me a voucher, I refuse."
    )
    assert user.reply("Do you want a voucher?") == AGREES
    assert user.reply("What is your order?") == KNOWS_NO_MORE
    assert user.reply("It is returned.") is None
    endless = ScriptedCustomer(SCENARIO)
    assert [endless.reply("Go on?") for _ in range(12)].index(None) == 10


class Turn(NamedTuple):
    """An agent's answer."""

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def turns_of(domain: str, task: Any, way: Way) -> list[Turn]:
    """A script: the benchmark's reference actions, or some, or none; then what it is to say."""
    actions = task.evaluation_criteria.actions or []
    kept = {"reference": len(actions), "half of it": len(actions) // 2, "nothing": 0}[way]
    turns = [Turn(calls=((action.name, action.arguments),)) for action in actions[:kept]]
    if domain in SOLO:
        return [*turns, Turn(calls=((DONE, {}),))]
    told = task.evaluation_criteria.communicate_info or []
    last = f"Here you are: {' and '.join(told)}." if kept == len(actions) else "Here you are."
    return [*turns, Turn(last)] + [Turn("That is all.")] * 20


def ask_ours(domain: str, task: Any, way: Way) -> bool:
    desk = open_desk(domain, task)
    talk = tau2._Talk(desk, None if domain in SOLO else ScriptedCustomer(scenario_of(task)))
    for number, turn in enumerate(turns_of(domain, task, way)):
        calls = [ToolCall(id=f"c{number}", function=n, arguments=a) for n, a in turn.calls]
        talk.take(turn.text, calls)
        if talk.stop:
            break
    return not judge_messages(domain, task, talk.heard, talk.stop)


def ask_theirs(domain: str, task: Any, way: Way) -> bool:
    """The package's own orchestrator, with agent and user by script, and its evaluator."""
    package = load_package()
    from tau2.agent.base import BaseAgent
    from tau2.orchestrator import orchestrator
    from tau2.user.base import BaseUser
    from tau2.user.user_simulator import DummyUser

    message, solo = package.message, domain in SOLO

    class Agent(BaseAgent):  # type: ignore[misc]
        STOP_TOKEN = STOP
        tools: Any = ()

        def get_init_state(self, message_history: Any = None) -> Sequence[Turn]:
            return turns_of(domain, task, way)

        def generate_next_message(self, said: Any, state: Any) -> Any:
            (turn, *left) = state
            calls = [
                message.ToolCall(id=f"{len(left)}", name=name, arguments=arguments)
                for name, arguments in turn.calls
                if name != DONE
            ]
            stops = any(name == DONE for name, _ in turn.calls)
            text = STOP if stops else turn.text or None
            return message.AssistantMessage(
                role="assistant", content=text, tool_calls=calls or None
            ), left

        def stop(self, *_: Any) -> None: ...

        @classmethod
        def is_stop(cls, said: Any) -> bool:
            return bool(said.content == STOP)

    class User(BaseUser):  # type: ignore[misc]
        def get_init_state(self, message_history: Any = None) -> Any:
            return ScriptedCustomer(scenario_of(task))

        def generate_next_message(self, said: Any, state: Any) -> Any:
            first = said.content == package.greeting
            text = state.opening if first else state.reply(said.content) or STOP
            return message.UserMessage(role="user", content=text), state

        def stop(self, *_: Any) -> None: ...

        @classmethod
        def is_stop(cls, said: Any) -> bool:
            return bool(said.content == STOP)

    environment = package.registry.get_env_constructor(domain)(solo_mode=solo)
    agent, user = Agent(), DummyUser() if solo else User()
    if solo:
        agent = package.agents.LLMSoloAgent([], "", task)
        scripted = Agent()
        state = scripted.get_init_state()
        agent.get_init_state = lambda message_history=None: state
        agent.generate_next_message = scripted.generate_next_message
    vars(orchestrator).update(get_cost=lambda messages: None)  # litellm's prices
    run = orchestrator.Orchestrator(
        domain, agent, user, environment, task, max_steps=200, solo_mode=solo
    ).run()
    return bool(package.evaluate(run, task, package.everything, solo, domain).reward >= 1.0)


@pytest.fixture
def quick_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package reads 7 MB of JSON for each of an evaluation's environments; once is enough.

    The collector goes through all that is read so far again and again: without it a copy takes a
    quarter of the time.
    """
    load_package()
    from tau2.environment.db import DB

    read, kept = DB.load.__func__, dict[tuple[object, str], bytes]()

    def load(cls: object, path: str) -> object:
        if (cls, str(path)) not in kept:
            kept[cls, str(path)] = pickle.dumps(read(cls, path))
        gc.disable()
        try:
            return pickle.loads(kept[cls, str(path)])
        finally:
            gc.enable()

    monkeypatch.setattr(DB, "load", classmethod(load))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_records")
@pytest.mark.parametrize("way", ["reference", "half of it", "nothing"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_tasks_are_judged_as_by_the_packages_own_orchestrator(domain: str, way: Way) -> None:
    tasks = read_tasks(domain)
    asked = {
        name: task
        for name, task in tasks.items()
        if way != "half of it" or zlib.crc32(name.encode()) % 4 == 0
    }
    ours = {name: ask_ours(domain, task, way) for name, task in asked.items()}
    theirs = {name: ask_theirs(domain, task, way) for name, task in asked.items()}
    assert ours == theirs
    passed = sum(ours.values())
    print(f"{domain}, {way}: {passed} of {len(ours)}")
    assert passed == len(ours) if way == "reference" else passed < len(ours)


@pytest.mark.slow
def test_the_harness_asks_and_judges_over_http(tmp_path: Path) -> None:
    """The first task of each domain by its reference; the second by nothing."""
    script = dict[str, list[Turn]]()
    for domain in DOMAINS:
        (_, first), (_, second) = list(read_tasks(domain).items())[:2]
        for task, way in ((first, "reference"), (second, "nothing")):
            key = task.ticket if domain in SOLO else as_first_person(scenario_of(task).reason)
            script[key] = turns_of(domain, task, way)  # type: ignore[arg-type]

    def answer(asked: Body) -> Said:
        system, *rest = asked["messages"]
        opening = rest[1]["content"] if len(rest) > 1 and rest[1]["role"] == "user" else ""
        (turns,) = (t for k, t in script.items() if k == opening or f"\n{k}\n" in system["content"])
        said = turns[sum(m["role"] == "assistant" for m in rest) - bool(opening)]
        return Said(said.text, tuple((name, json.dumps(a)) for name, a in said.calls))

    with answering(answer) as (url, seen), Sandbox.start() as sandbox:
        config = BenchmarkConfig(suites=("tau2",), limit=2)
        run_suites(config, Subject("m", "", Endpoint(url=url, model="m")), sandbox, tmp_path)
    rows = pl.read_parquet(tmp_path / "items.parquet").sort("item")
    assert len(rows) == 6
    assert dict(zip(rows["item"], rows["passed"], strict=True)) == {
        f"{domain}/{name}": not place
        for domain in DOMAINS
        for place, name in enumerate(list(read_tasks(domain))[:2])
    }
    assert all("$ref" not in json.dumps(body["tools"]) for body in seen)
