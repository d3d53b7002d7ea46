"""The table of docs/own-problems.md: data sets in their own formats, by what it says to write."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from k2core.agents import Session, close_session
from k2core.problems.bank import RowFault, look_through
from k2core.problems.faults import RowError
from k2core.problems.layouts import read_layout
from k2core.rewards import Outcome, judge_dialogue, verify
from k2core.rewards.gold import gold_outcome
from k2core.rewards.telling import find_doubt
from k2core.sandbox import Sandbox
from schemas.chat import Message, Problem, ToolCall
from schemas.problems import FileSource, ProblemsConfig, Sources
from tests.k2core.problems.data_sets import ASKED, GSM8K, SAMPLES, packed
from tests.k2core.problems.more_data_sets import MORE

PAGE = Path(__file__).parents[3] / "docs" / "own-problems.md"
LINE = re.compile(r"^\| ([^|]+) \| `(--[^`]+)` \|$", re.MULTILINE)
TABLE = dict(LINE.findall(PAGE.read_text()))
FUNCTIONAL, NAMED = {"input": "1", "output": "1", "testtype": "functional"}, {"func_name": "f"}
BOTH = SAMPLES | MORE
EACH = [(name, number) for name, samples in BOTH.items() for number in range(len(samples))]


def test_the_page_names_each_once() -> None:
    assert TABLE.keys() == BOTH.keys()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def stated(path: Path, written: str) -> FileSource:
    fields = dict(re.findall(r"--field (\w+)=(\S+)", written))
    verifier = re.search(r"--verifier (\S+)", written)
    named = verifier[1] if verifier else "text_answer"
    return FileSource(name="own", path=str(path), verifier=named, fields=fields)


def read(source: FileSource) -> Problem:
    config = ProblemsConfig(families={}, sources=Sources(files=(source,)))
    (own,) = look_through(config, source)
    assert not isinstance(own, RowFault), own
    return own.problem


def answered(problem: Problem, text: str) -> Outcome:
    """A text; of calls the message that makes them."""
    if problem.verifier != "function_calls":
        return Outcome((*problem.messages, Message(role="assistant", content=text)))
    made = tuple(
        ToolCall(
            id=f"functions.{c['name']}:{n}", name=c["name"], arguments=json.dumps(c["arguments"])
        )
        for n, c in enumerate(json.loads(text))
    )
    return Outcome((*problem.messages, Message(role="assistant", content="", tool_calls=made)))


@pytest.mark.parametrize(("name", "number"), EACH)
def test_a_data_set_is_read_and_judged_in_its_own_form(
    tmp_path: Path, sandbox: Sandbox, name: str, number: int
) -> None:
    sample, path = BOTH[name][number], tmp_path / "rows.jsonl"
    path.write_text(json.dumps(sample.row))
    problem = read(stated(path, TABLE[name]))
    assert sample.asked in problem.messages[-1].content
    if gold := gold_outcome(problem):
        assert verify(problem, gold, sandbox) == (1.0, "")
    assert find_doubt(problem, sandbox) == ""
    for text in sample.right:
        assert verify(problem, answered(problem, text), sandbox) == (1.0, ""), text
    for text in sample.wrong:
        verdict = verify(problem, answered(problem, text), sandbox)
        assert (verdict.reward, verdict.is_faulty) == (0.0, False), text
        assert verdict.reason


def test_verls_parquet_is_read_as_its_rows_are(tmp_path: Path) -> None:
    name = "DAPO, Skywork-OR1, others in verl's parquet"
    path = tmp_path / "train.parquet"
    pl.DataFrame([SAMPLES[name][0].row]).write_parquet(path)
    problem = read(stated(path, TABLE[name]))
    assert problem.messages[0].content == ASKED[0]["content"]
    assert problem.expected["answer"] == "3/8"


@pytest.mark.parametrize(
    ("verifier", "row", "words"),
    [
        ("text_answer", {"answer": GSM8K.format(7)}, "ends in '7'.*take integer_answer"),
        ("text_answer", {"answer": {"a": 1}}, "must be a text or a number"),
        ("text_answer", {"answer": True}, "must be a text or a number, not true"),
        ("text_answer", {"answer": " "}, "not empty"),
        ("integer_answer", {"answer": r"\frac{1}{2}"}, "whole number.*expression takes"),
        ("integer_answer", {"answer": "7 or 8"}, "whole number"),
        ("expression", {"answer": ["1", "2"]}, "must be a text or a number"),
        ("expression", {"answer": "Then we see that " * 9 + "it is 7."}, "is a whole solution"),
        ("expression", {"answer": "so " * 500}, "is a whole solution, and marks no end"),
        ("choice", {"answer": 4, "choices": ["a", "b"]}, "one of A, B, not 4"),
        ("choice", {"answer": "Berlin", "choices": ["a", "b"]}, 'one of A, B, not "Berlin"'),
        ("choice", {"answer": "Berlin"}, "a letter"),
        ("choice", {"answer": "A", "choices": "a, b"}, "a list of 2 to 26"),
        ("program", {"cases": {"inputs": ["1"], "outputs": []}}, "has 1 inputs and 0 outputs"),
        ("program", {"cases": {"fn_name": "f", "inputs": [[1]], "outputs": []}}, "1 inputs and 0"),
        ("program", {"cases": {"fn_name": "f", "inputs": ["1"], "outputs": ["1"]}}, "of arguments"),
        ("program", {"cases": {"fn_name": "f(", "inputs": [[1]], "outputs": [1]}}, "a function"),
        ("program", {"cases": {"fn_name": "is", "inputs": [[1]], "outputs": [1]}}, "a function"),
        ("program", {"cases": {"fn_name": "f", "inputs": 1, "outputs": [1]}}, "outputs, lists"),
        ("program", {"cases": [FUNCTIONAL]}, "must have func_name"),
        ("program", {"cases": [FUNCTIONAL | {"input": "a"}], "metadata": NAMED}, "must be JSON"),
        ("program", {"cases": packed(print)}, "hold no text: it has STACK_GLOBAL"),
        ("program", {"cases": packed(7)}, "hold no text: it has BININT1"),
        ("program", {"cases": packed(["a", "b"])}, "hold no text: it has EMPTY_LIST"),
        ("program", {"cases": "eJ3"}, "a list of stdin"),
        ("program", {"cases": [{"fn_name": "f"}, {"fn_name": "g"}]}, "one function, not f, g"),
        ("program", {"cases": "3"}, "a list of stdin with stdout"),
        ("python_function", {"tests": ["assert f(1) =="]}, "no Python"),
        ("python_function", {"tests": ["assert 1 == 1"]}, "state the names of the functions"),
        ("function_calls", {"calls": "[f(a=1)]"}, "calls with name and arguments"),
        ("function_calls", {"calls": [{"f": 1}]}, "must have name and arguments"),
        ("instruction", {"instruction_id_list": ["language:response_language"]}, "is none of keyw"),
        ("instruction", {"instruction_id_list": ["keywords:existence"], "kwargs": [{}]}, "lacks"),
        ("instruction", {"instruction_id_list": ["x", "y"], "kwargs": [{}]}, "1 entries for 2"),
    ],
)
def test_what_a_verifier_could_only_misread_is_said(
    verifier: str, row: dict[str, Any], words: str
) -> None:
    with pytest.raises(RowError, match=words):
        read_layout(verifier, row, "?")


def test_a_dialogue_of_calls_that_nobody_executes_ends_with_them(tmp_path: Path) -> None:
    sample, path = SAMPLES["xLAM function calling"][0], tmp_path / "rows.jsonl"
    path.write_text(json.dumps(sample.row))
    problem = read(stated(path, TABLE["xLAM function calling"]))
    session = Session(problem)
    assert session.reply(answered(problem, sample.right[0]).messages[-1]) == []
    dialogue = close_session(session, "nobody")
    assert (dialogue.stop_reason, dialogue.num_calls, dialogue.over_budget) == (
        "answered",
        1,
        False,
    )
    assert judge_dialogue(dialogue) == (1.0, "")
    assert problem.tools[0].parameters["required"] == ["city"]
