"""Environments of somebody's own: played, judged, and whatever they do else is a fault."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from k2core.agents import Opening, Session, close_session
from k2core.problems import ProblemSourceError, own_families, training_problem
from k2core.problems.bank import RowFault, look_through
from k2core.rewards import judge_dialogue
from k2core.sandbox import OwnCodeError, Sandbox
from schemas.chat import Message, Problem, ToolCall
from schemas.problems import EnvironmentSource, ProblemsConfig, Sources

GUESS = """
import random

class World:
    def __init__(self, highest=9):
        self.highest = highest
    def reset(self, seed):
        self.secret = random.Random(seed).randint(1, self.highest)
        self.won = False
        return f"Guess a number from 1 to {self.highest}."
    def step(self, action):
        self.won = int(action) == self.secret
        return None if self.won else "higher" if int(action) < self.secret else "lower"
    def score(self):
        return float(self.won)
"""
TOOLS = """
class World:
    tools = [{"name": "open_box", "parameters": {"type": "object"}}]
    def reset(self, seed):
        self.opened = 0
        return [{"role": "system", "content": "Boxes."}, {"role": "user", "content": f"Box {seed}"}]
    def step(self, action):
        if isinstance(action, dict):
            self.opened += action["arguments"]["count"]
            return f"opened {self.opened}"
        return None
    def score(self):
        return min(self.opened, 4) / 4
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def asking(text: str, folder: Path, **more: object) -> ProblemsConfig:
    path = folder / "world.py"
    path.write_text(text)
    fields = {"name": "world", "environment": f"{path}:World", "size": 12, "code_seconds": 1}
    source = EnvironmentSource.model_validate(fields | more)
    return ProblemsConfig(families={}, sources=Sources(environments=(source,)))


def say(session: Session, text: str) -> str:
    answers = session.reply(Message(role="assistant", content=text))
    return answers[0].content if answers else ""


def test_a_dialogue_goes_on_until_the_environment_ends_it(tmp_path: Path, sandbox: Sandbox) -> None:
    config = asking(GUESS, tmp_path, options={"highest": 3})
    problems = [training_problem(config, index) for index in range(9)]
    assert problems[0].messages[0].content == "Guess a number from 1 to 3."
    heard = set()
    for problem in problems[:4]:
        session, low = Opening(sandbox).open(problem), 1
        while session.stop_reason is None:
            answer = say(session, str(low))
            heard.add(answer)
            low += 1
        assert session.stop_reason == "answered"
        dialogue = close_session(session, "nobody")
        assert judge_dialogue(dialogue, sandbox) == (1.0, "")
    assert heard == {"higher", ""}
    session = Opening(sandbox).open(problems[0])
    assert say(session, "9") == "lower"
    session.stop_reason = "answered"
    lost = judge_dialogue(close_session(session, "nobody"), sandbox)
    assert lost == (0.0, "wrong_answer")


def test_calls_are_steps_and_scores_may_be_shares(tmp_path: Path, sandbox: Sandbox) -> None:
    problem = training_problem(asking(TOOLS, tmp_path), 0)
    assert [m.role for m in problem.messages] == ["system", "user"]
    session = Opening(sandbox).open(problem)
    for number in (1, 2):
        made = ToolCall(
            id=f"functions.open_box:{number - 1}", name="open_box", arguments='{"count": 1}'
        )
        answers = session.reply(Message(role="assistant", tool_calls=(made,)))
        assert answers[0].content == f"opened {number}"
    assert say(session, "Done.") == ""
    dialogue = close_session(session, "nobody")
    assert judge_dialogue(dialogue, sandbox) == (0.5, "partly_right")
    assert dialogue.state["actions"] == [
        {"name": "open_box", "arguments": {"count": 1}},
        {"name": "open_box", "arguments": {"count": 1}},
        "Done.",
    ]


def test_an_environment_that_never_ends_is_ended_by_the_turns(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    text = GUESS.replace("None if self.won else", "")
    problem = training_problem(asking(text, tmp_path, max_turns=2), 0)
    session = Opening(sandbox).open(problem)
    say(session, "1")
    say(session, "2")
    assert session.stop_reason == "turn_limit"
    assert judge_dialogue(close_session(session, "nobody"), sandbox) == (0.0, "over_budget")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("self.won = False", "raise OSError('no world')", "OSError: no world"),
        ("self.won = False", "return 3", "reset returned int, not a text"),
        ("self.won = False", "return b'go'", "reset returned bytes, not a text"),
        ("self.won = False", "return ('go', {})", "reset returned tuple, not a text"),
        ("self.won = False", "return ''", "must be a text that is not empty"),
        ("self.won = False", "return 'x' * 10**7", "reset returned 10000000 characters"),
        ("self.won = False", "return [{'role': 'user', 'content': 1}]", "list of messages with"),
        ("def reset", "tools = [print]\n    def reset", "tools must be a list of functions"),
        ("def reset", "tools = 3\n    def reset", "tools must be a list of functions"),
        ("def step(self, action)", "def act(self, action)", "has no method step"),
        ("def step(self, action)", "def step(self)", "step() cannot be called as step(action)"),
        ("def score(self)", "def score(self, x)", "score(x) cannot be called as score()"),
        ("def reset(self, seed)", "async def reset(self, seed)", "reset returned coroutine"),
        ("self.won = False", "while True: pass", "takes more than"),
        ("def reset(self, seed)", "def begin(self, seed)", "has no method reset"),
        ("highest=9", "lowest", "missing 1 required positional argument"),
        ("class World", "import other as World\nclass Other", "No module named 'other'"),
    ],
)
def test_a_world_that_does_not_begin_is_no_problem(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    config = asking(GUESS.replace(old, new), tmp_path, size=1)
    (fault,) = look_through(config, config.sources.environments[0])
    assert isinstance(fault, RowFault)
    assert words in fault.reason
    if words != "takes more than":
        with pytest.raises(ProblemSourceError, match="world: no row of 1 makes a problem: row 1: "):
            own_families(config)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 3", "step returned int, not a text, or None at the end"),
        ("return {'a': 1}", "step returned dict"),
        ("return b'lower'", "step returned bytes"),
        ("return ''", "step returned an empty text"),
        ("return float('nan')", "step returned float"),
        ("return ('lower', 0.5, True, {})", "step returned tuple"),
        ("return type('T', (str,), {'__len__': lambda _: 1})('x' * 10**6)", "1000000 characters"),
        ("return 'x' * 30_000", "step returned 30000 characters"),
        ("raise KeyError('lost')", "KeyError: 'lost'"),
        ("raise SystemExit", "SystemExit"),
        ("import os; return str(os.urandom(8))", "does not say the same twice"),
        ("import os; os._exit(3)", "ends without a word (exit code 3)"),
    ],
)
def test_a_step_that_makes_no_sense_is_a_fault(
    tmp_path: Path, sandbox: Sandbox, body: str, words: str
) -> None:
    text = GUESS.replace(
        "        self.won = int(action)", f"        {body}\n        self.won = int(action)"
    )
    problem = training_problem(asking(text, tmp_path), 0)
    session = Opening(sandbox).open(problem)

    def play() -> None:
        for _ in range(2):
            say(session, "7")

    with pytest.raises(OwnCodeError) as caught:
        play()
    assert words in str(caught.value)


@pytest.mark.parametrize("body", ["return 2.0", "return 'good'", "raise ValueError"])
def test_a_score_that_is_none_is_a_faulty_verdict(
    tmp_path: Path, sandbox: Sandbox, body: str
) -> None:
    text = GUESS.replace("return float(self.won)", body)
    problem: Problem = training_problem(asking(text, tmp_path, options={"highest": 1}), 0)
    session = Opening(sandbox).open(problem)
    assert say(session, "1") == ""
    assert judge_dialogue(close_session(session, "nobody"), sandbox).is_faulty


def test_a_world_that_hangs_at_each_beginning_is_given_up_soon(tmp_path: Path) -> None:
    text = GUESS.replace("self.won = False", "raise KeyError(seed)")
    config = asking(text, tmp_path, size=200)
    with pytest.raises(ProblemSourceError, match=r"world.py:World begins with none of 3 seeds: re"):
        own_families(config)
