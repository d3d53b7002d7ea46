"""Chat: calls are really executed, broken dialogues start anew, problems are judged as always."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from k2core.chat import ChatCodec
from k2core.chat.tokens import (
    CALL_ARGUMENT,
    CALL_BEGIN,
    CALL_END,
    CALLS_BEGIN,
    CALLS_END,
    END,
    MIDDLE,
)
from k2core.engines.scripted import ScriptedEngine
from k2core.problems import held_out_problems
from schemas.artifacts import Release
from schemas.problems import ProblemsConfig
from tests.workflows.conftest import Record
from workflows import chat
from workflows.chat import Partner
from workflows.errors import MendableError

RELEASE = Release(digest="sha256:" + "f" * 64)
Script = Callable[[Sequence[str]], Partner]


def call(name: str, arguments: str, index: int) -> str:
    section = f"{CALL_BEGIN}functions.{name}:{index}{CALL_ARGUMENT}{arguments}{CALL_END}"
    return f"{CALLS_BEGIN}{section}{CALLS_END}{END}"


@pytest.fixture(scope="module", autouse=True)
def _released(record: Record) -> None:
    problems = ProblemsConfig().model_dump(mode="json")
    record("one-1", "release", {}, {"release": RELEASE}, problems=problems)


@pytest.fixture
def play(codec: ChatCodec, monkeypatch: pytest.MonkeyPatch) -> Script:
    """A released model that says these texts in turn."""

    def start(texts: Sequence[str]) -> Partner:
        script = iter(texts)
        engine = ScriptedEngine(lambda prompt, how: encode(codec, next(script)))
        partner = Partner(engine, codec, 1024, 0.0)

        @contextmanager
        def serve(artifact: Release, temperature: float) -> Iterator[Partner]:
            assert artifact.digest == RELEASE.digest
            yield partner

        monkeypatch.setattr(chat, "serve_artifact", serve)
        return partner

    return start


def last_prompt(partner: Partner) -> str:
    assert isinstance(partner.engine, ScriptedEngine)
    return partner.codec.decode(partner.engine.prompts[-1])


def encode(codec: ChatCodec, text: str) -> list[int]:
    """As a model would write it: special tokens are special."""
    tokenizer = codec._tokenizer
    tokenizer.encode_special_tokens = False
    ids = list(tokenizer.encode(text).ids)
    tokenizer.encode_special_tokens = True
    return ids


def test_calls_are_executed_and_counted_over_the_whole_dialogue(
    play: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = call("multiply", '{"a":12,"b":34}', 0), call("add", '{"a":408,"b":1}', 1)
    partner = play([first, f"408{END}", second, f"409{END}"])
    chat.talk("latest", ["What is 12 * 34?", "And 1 more?"], 0.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        '  multiply {"a":12,"b":34}',
        '  = {"result":408}',
        "408",
        '  add {"a":408,"b":1}',
        '  = {"result":409}',
        "409",
    ]
    prompt = last_prompt(partner)
    assert prompt.count(MIDDLE) == 9
    assert '"name":"add"' in prompt
    assert '"name":"multiply"' in prompt


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("and so on", "token_budget"),
        (call("add", "{}", 5), "malformed"),
        (call("add", "{}", 0).replace(CALLS_END, ""), "malformed"),
    ],
)
def test_a_broken_dialogue_starts_anew(
    play: Script, capsys: pytest.CaptureFixture[str], said: str, reason: str
) -> None:
    partner = play([said, f"hello{END}"])
    chat.talk("latest", ["one", "two"], 0.0)
    captured = capsys.readouterr()
    assert f"({reason}: a new dialogue starts)" in captured.err
    assert captured.out.endswith("hello\n")
    assert "one" not in last_prompt(partner)


def test_a_model_that_never_stops_calling_ends_with_its_context(
    play: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    play([call("add", '{"a":1,"b":1}', index) for index in range(99)])
    chat.talk("latest", ["What is 1 + 1?"], 0.0)
    assert "(context: a new dialogue starts)" in capsys.readouterr().err


def test_what_a_model_writes_is_neither_markup_nor_control(
    play: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    play([f"[red]x[/blue] \x1b[2J{END}"])
    chat.talk("latest", ["hi"], 0.0)
    assert capsys.readouterr().out == "[red]x[/blue] �[2J\n"


@pytest.mark.parametrize(("shift", "verdict"), [(0, "passed"), (1, "failed: wrong_answer")])
def test_a_problem_is_judged_by_its_verifier(
    play: Script, capsys: pytest.CaptureFixture[str], shift: int, verdict: str
) -> None:
    config = ProblemsConfig(families={"sum_mental": 1.0})
    problem = held_out_problems(config)[3]
    answer = int(str(problem.expected["answer"]))
    play([f"{answer + shift}{END}"])
    chat.solve("latest", "sum_mental", 3, 0.0)
    out = capsys.readouterr().out
    assert out.startswith(f"> {problem.messages[0].content}\n{answer + shift}\n")
    assert f"{problem.problem_id} {verdict} (expected: {answer})" in out


def test_a_number_beyond_the_split_is_named(play: Script) -> None:
    play([])
    with pytest.raises(MendableError, match="--number 100: compare has problems 0 to 99"):
        chat.solve("latest", "compare", 100, 0.0)


def test_a_family_that_nobody_asks_is_named(play: Script) -> None:
    play([])
    with pytest.raises(MendableError, match="no family 'chess'; there are sum_mental, "):
        chat.solve("latest", "chess", 0, 0.0)
