"""Dialogues with tools in the prompt: what is sent, what is read, and gold calls that pass."""

import json
from pathlib import Path

import pytest

from k2core.evaluate.harness import Subject, run_suites
from k2core.evaluate.suites import bfcl_turns
from k2core.evaluate.suites.bfcl_package import ModelCall
from k2core.evaluate.suites.bfcl_services import read_items
from k2core.evaluate.suites.prompted import Line, lay_out, read_calls
from k2core.sandbox import Sandbox
from schemas.benchmarks import BenchmarkConfig, SuiteScore
from schemas.endpoint import Endpoint
from tests.k2core.evaluate.answering import Body, Said, answering
from tests.k2core.evaluate.test_bfcl_turns import _calls_of

ADD: dict[str, object] = {"name": "add", "description": "a + b", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[add(a=1, b=-2)]", [("add", {"a": 1, "b": -2})]),
        ("add(a='x')", [("add", {"a": "x"})]),
        ("```[f(a=[1, {'b': None}]), g()]```", [("f", {"a": [1, {"b": None}]}), ("g", {})]),
        ("[add(a=1)", [("add", {"a": 1})]),
        ("[]", []),
        ("", []),
        ("Shall I add them?", []),
        ("I call [add(a=1)] now", []),
        ("[add(a=1), 2]", []),
        ("[math.add(a=1)]", []),
        ("[f(a=2 ** 99)]", []),
        ("[f(a={1: 2, **x})]", []),
        ("[f(a=b'x')]", []),
    ],
)
def test_an_answer_is_calls_or_it_has_none(text: str, calls: list[tuple[str, object]]) -> None:
    assert [tuple(call) for call in read_calls(text)] == calls


def test_a_dialogue_is_laid_out_for_a_template_without_tools() -> None:
    calls = [ModelCall("add", {"a": 1, "b": "it's"}), ModelCall("add", {})]
    lines = [
        Line("system", "Be kind."),
        Line("user", "Add."),
        Line("assistant", "", calls),
        Line("tool", "3", tool="add"),
        Line("tool", "no", tool="add"),
        Line("user", "Well?"),
    ]
    (first, system), *rest = lay_out(lines, [ADD])
    assert first == "system"
    assert system.endswith("Be kind.")
    assert '"description": "a + b"' in system
    written = """[add(a=1, b="it's"), add()]"""
    results = '{"name": "add", "result": "3"}\n{"name": "add", "result": "no"}\nWell?'
    assert rest == [("user", "Add."), ("assistant", written), ("user", results)]
    assert read_calls(written) == calls
    assert lay_out(lines[1:2], []) == [("user", "Add.")]


def score(suite: str, said: list[str], out: Path) -> tuple[SuiteScore, list[Body]]:
    """What a model reaches that says the one after the other, and then nothing more."""

    def answer(asked: Body) -> Said:
        num_said = sum(message["role"] == "assistant" for message in asked["messages"])
        return Said(said[num_said] if num_said < len(said) else "That is all.")

    config = BenchmarkConfig(suites=(suite,), limit=1, tool_calls="prompted")
    with answering(answer) as (url, seen), Sandbox.start() as sandbox:
        asked = Subject("m", "", Endpoint(url=url, model="m"))
        found = run_suites(config, asked, sandbox, out).suites[suite]
    assert not any("tools" in body for body in seen)
    assert {m["role"] for body in seen for m in body["messages"]} == {"system", "user", "assistant"}
    return found, seen


@pytest.mark.slow
def test_gold_calls_in_the_text_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfcl_turns, "CATEGORIES", ("base",))
    item, said = read_items("base")[0], list[str]()
    for turn in item["ground_truth"]:
        calls = [ModelCall(name, json.loads(written)) for name, written in _calls_of(item, turn)]
        said += [lay_out([Line("assistant", "", calls)], [])[0][1], "Done."]
    found, _ = score("bfcl_turns", said, tmp_path / "gold")
    assert (found.rate.passed, found.rate.total, found.faulty) == (1, 1, 0)
    assert found.valid_calls
    assert found.valid_calls.passed == found.valid_calls.total > 3
    less, _ = score("bfcl_turns", [*said[:-2], "Done."], tmp_path / "less")
    assert (less.rate.passed, less.faulty) == (0, 0)


@pytest.mark.slow
def test_scenarios_are_played_with_calls_in_the_text(tmp_path: Path) -> None:
    found, seen = score("scenarios", ["[nothing_such(a=1)]"], tmp_path)
    assert (found.rate.passed, found.rate.total, found.faulty) == (0, 3, 0)
    assert found.valid_calls
    assert (found.valid_calls.passed, found.valid_calls.total) == (0, 3)
    assert any('{"name": "nothing_such"' in body["messages"][-1]["content"] for body in seen)
