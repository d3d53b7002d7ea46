"""Simulated tools: semantics, suggestions, faults, replay."""

import json
from typing import Any

import pytest

from k2core.environments import execute_call, find_closest, open_environment
from k2core.environments.simulator import Environment
from schemas.chat import Message, Problem, ToolCall


def problem_of(environment: str, seed: int = 0, **state: Any) -> Problem:
    return Problem(
        problem_id="test/train/0",
        family="test",
        group="tools",
        messages=(Message(role="user", content="?"),),
        environment=environment,
        seed=seed,
        state=state,
        verifier="text_answer",
    )


def binding(operation: str, *arguments: str, **extra: Any) -> dict[str, Any]:
    return {"operation": operation, "arguments": list(arguments), **extra}


def ledger() -> Environment:
    tools = {
        "send": binding("move", "from", "to", "amount"),
        "balance": binding("read_balance", "name"),
    }
    return open_environment(problem_of("ledger", tools=tools, data={"ana": 10, "bob": 1}))


def call(environment: Environment, tool: str, /, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(environment.call(tool, arguments))
    return result


@pytest.mark.parametrize(
    ("operation", "result"), [("add", 133), ("multiply", 4042), ("larger", 86)]
)
def test_the_calculator_calculates(operation: str, result: int) -> None:
    tools = {"do": binding(operation, "x", "y")}
    environment = open_environment(problem_of("calculator", tools=tools))
    assert call(environment, "do", x=47, y=86) == {"result": result}
    assert call(environment, "do", y=47, x=86) == {"result": result}


@pytest.mark.parametrize("value", ["47", 4.7, True, None, [47], 10**12])
def test_only_integers_of_some_size_are_calculated_with(value: Any) -> None:
    tools = {"plus": binding("add", "a", "b")}
    environment = open_environment(problem_of("calculator", tools=tools))
    assert call(environment, "plus", a=value, b=1)["error"].startswith("not an integer")


def test_an_unknown_key_is_answered_with_the_closest_one() -> None:
    tools = {"get": binding("read", "name", fixed={"table": "phone"})}
    data = {"phone": {"apple": "123", "river": "456"}}
    environment = open_environment(problem_of("records", tools=tools, data=data))
    assert call(environment, "get", name="apple") == {"result": "123"}
    assert call(environment, "get", name="aple") == {
        "error": "unknown aple",
        "did_you_mean": "apple",
    }
    assert call(environment, "get", name="zzz") == {"error": "unknown zzz"}
    assert call(environment, "get", name=["apple"])["error"].startswith("unknown")
    assert find_closest(data["phone"], "rivver") == "river"


def test_wrong_names_are_errors_that_change_nothing() -> None:
    environment = ledger()
    assert call(environment, "steal", name="ana") == {"error": "unknown tool steal"}
    assert call(environment, "balance") == {"error": "missing argument name"}
    assert call(environment, "balance", name="ana", x=1) == {"error": "unknown argument x"}
    assert environment.state == {"ana": 10, "bob": 1}


def test_a_ledger_keeps_its_sum() -> None:
    environment = ledger()
    send = {"from": "ana", "to": "bob"}
    assert call(environment, "send", **send, amount=4) == {"result": "ok"}
    assert environment.state == {"ana": 6, "bob": 5}
    for amount, error in ((7, "ana has only 6"), (0, "amount must be above 0"), (-1, "amount")):
        assert call(environment, "send", **send, amount=amount)["error"].startswith(error)
    same = call(environment, "send", **{"from": "ana", "to": "ana", "amount": 1})
    assert same == {"error": "ana cannot give to ana"}
    assert environment.state == {"ana": 6, "bob": 5}


def busy_server(seed: int, rate: float, max_busy: int) -> Environment:
    tools = {"get": binding("read", "name", fixed={"table": "t"}, busy_rate=rate)}
    state = {"tools": tools, "data": {"t": {"a": "1"}}, "max_busy": max_busy}
    return open_environment(problem_of("records", seed, **state))


def test_who_insists_gets_through() -> None:
    environment = busy_server(seed=0, rate=1.0, max_busy=3)
    results = [call(environment, "get", name="a") for _ in range(8)]
    assert results == ([{"error": "busy"}] * 3 + [{"result": "1"}]) * 2


def test_servers_are_busy_at_the_stated_rate() -> None:
    busy = ["error" in call(busy_server(s, 0.6, 3), "get", name="a") for s in range(1000)]
    assert 540 < sum(busy) < 660


def test_equal_sessions_replay_bit_for_bit() -> None:
    def replay(seed: int) -> list[str]:
        environment = busy_server(seed, rate=0.5, max_busy=2)
        return [environment.call("get", {"name": "a"}) for _ in range(30)]

    assert replay(1) == replay(1)
    assert replay(1) != replay(2)


def test_a_session_leaves_the_problem_as_it_was() -> None:
    problem = problem_of(
        "ledger", tools={"send": binding("move", "a", "b", "n")}, data={"ana": 5, "bob": 0}
    )
    call(open_environment(problem), "send", a="ana", b="bob", n=5)
    assert problem.state["data"] == {"ana": 5, "bob": 0}


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", '{"a":1', "[" * 100_000])
def test_arguments_that_are_no_object_are_the_models_error(arguments: str) -> None:
    made = ToolCall(id="functions.balance:0", name="balance", arguments=arguments)
    assert json.loads(execute_call(ledger(), made))["error"].startswith("arguments are not")


def test_without_an_environment_there_are_no_tools() -> None:
    environment = open_environment(problem_of("none"))
    assert call(environment, "add", a=1) == {"error": "unknown tool add"}


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(KeyError, match="no environment 'moon'"):
        open_environment(problem_of("moon"))
