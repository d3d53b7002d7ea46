"""Reward functions of somebody's own: what they give counts, what they do harms nobody."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2core.rewards import Outcome, verify
from k2core.rewards.gold import answered
from k2core.sandbox import Sandbox, Verdict
from schemas.chat import Message, Problem
from schemas.source import read_code


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def asking(source: str, folder: Path, seconds: int = 1) -> Problem:
    path = folder / "rewards.py"
    path.write_text(source)
    code = read_code(f"{path}:score").model_dump()
    return Problem(
        problem_id="own/train/1",
        family="own",
        group="general",
        messages=(Message(role="user", content="Where?"),),
        verifier="own_code",
        expected={"code": code, "seconds": seconds, "row": {"answer": "Paris", "level": 3}},
    )


def judged(source: str, folder: Path, sandbox: Sandbox, answer: str = "Paris") -> Verdict:
    problem = asking(source, folder)
    return verify(problem, answered(problem, answer), sandbox)


@pytest.mark.parametrize(
    ("source", "reward"),
    [
        ("def score(response, answer): return response == answer", 1.0),
        ("def score(response, answer): return response != answer", 0.0),
        ("def score(answer, response, *, level, missing=0.25): return missing * level", 0.75),
        ("def score(**about): return float(about['row']['level'] == 3)", 1.0),
        ("async def score(completion, **_): return completion[-1]['content'] == 'Paris'", 1.0),
        ("def score(prompt, info): return prompt[0]['role'] == 'user' and info['level'] == 3", 1.0),
        ("import numpy as np\ndef score(response): return np.float32(0.5)", 0.5),
        ("import numpy as np\ndef score(response): return np.bool_(True)", 1.0),
        ("import numpy as np\ndef score(response): return np.array(0.5)", 0.5),
        ("from decimal import Decimal\ndef score(response): return Decimal('0.5')", 0.5),
        ("class score:\n  def __call__(self, response): return 1", 1.0),
        ("def score(response): return {'score': 0.5, 'acc': False}", 0.5),
        (
            "import numpy as np\ndef score(response): return np.random.default_rng(3).random() < 1",
            1.0,
        ),
        ("import hashlib as h\ndef score(response): return h.nobody if 0 else 1", 1.0),
        ("from xml import dom\ndef score(response): return float(bool(dom.Node))", 1.0),
        ("def score(response, /, answer): return response == answer", 1.0),
        ("def score(data_source, solution_str, ground_truth, extra_info=None): return 1.0", 1.0),
        (
            "def score(prompts, completions, level, **_): "
            "return [float(c[-1]['content'] == 'Paris') * (level == [3]) for c in completions]",
            1.0,
        ),
        ("D = __file__\ndef score(response): return float('rewards' in D)", 1.0),
        ("class Score:\n  def __call__(self, response): return 1\nscore = Score()", 1.0),
        ("import os\ndef score(response): print('x' * 10**6); os.write(2, b'{}'); return 1", 1.0),
    ],
)
def test_what_a_function_gives_is_the_reward(
    tmp_path: Path, sandbox: Sandbox, source: str, reward: float
) -> None:
    verdict = judged(source, tmp_path, sandbox)
    assert verdict.reward == reward, verdict.reason
    assert bool(verdict.reason) is (reward < 1)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def score(response): raise ValueError('no\\x00 \\ud800')", "ValueError: no? ?"),
        ("raise KeyError('at the top')\ndef score(): ...", "KeyError: 'at the top'"),
        ("def score(response): return float('nan')", "returned nan, not a number from 0 to 1"),
        ("def score(response): return 1.5", "returned 1.5"),
        ("def score(response): return '1'", "returned str"),
        ("def score(response): return None", "returned NoneType"),
        ("def score(response): return 1j", "returned complex"),
        ("def score(response): return [1.0]", "returned list"),
        ("def score(response): return {'score': None}", "returned NoneType"),
        ("def score(response): return {'acc': 1.0}", "returned dict"),
        ("class score:\n  def __init__(self, response): ...", "returned score, not a number"),
        ("def score(response): import sys; sys.exit(0)", "SystemExit"),
        ("import os\ndef score(response): os._exit(0)", "ends without a word"),
        ("def score(response): return score(response)", "RecursionError"),
        ("def score(response): return len(bytearray(10 ** 11))", "MemoryError"),
        ("import time\ndef score(response): time.sleep(99)", "takes more than 5 s"),
        ("def score(response):\n  while True: pass", "takes more than"),
        ("import os\ndef score(response): return os.fork() >= 0", "Operation not permitted"),
        ("import socket\ndef score(response): return socket.socket()", "Operation not permitted"),
        ("def score(response): open('/etc/passwd'); return 1", "Permission denied"),
        ("def score(response): return nobody", "'nobody' is not defined"),
        ("def score(wish): return 1", "there is no 'wish' to pass; there are"),
        ("from k2core import score", "cannot import name 'score'"),
        ("score = 3", "is not a callable object"),
        ("def score(response): return (1.0, 'good')", "returned tuple, not a number"),
        ("def score(response): yield 1.0", "returned generator, not a number"),
        ("def score(completions): return [1.0, 0.0]", "returned list, not a number"),
        (
            "import asyncio\nasync def score(response): await asyncio.sleep(1)",
            "waits for something",
        ),
        ("class E(Exception):\n  def __str__(self): raise E\ndef score(response): raise E", ": E"),
        ("def score(response): raise type('E' * 10**5, (BaseException,), {})", "EEE"),
        ("import no_such_thing\ndef score(response): return 1", "No module named 'no_such_thing'"),
    ],
)
def test_what_else_it_does_is_its_own_fault_and_no_reward(
    tmp_path: Path, sandbox: Sandbox, source: str, words: str
) -> None:
    verdict = judged(source, tmp_path, sandbox)
    assert verdict.is_faulty
    assert words in verdict.reason


def test_it_deletes_and_writes_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for act in (f"shutil.rmtree({str(kept)!r})", f"open({str(tmp_path / 'new')!r}, 'w')"):
        verdict = judged(f"import shutil\ndef score(response): {act}", tmp_path, sandbox)
        assert "Permission denied" in verdict.reason
    assert kept.exists()
    assert not (tmp_path / "new").exists()


def test_one_judgement_leaves_nothing_to_the_next(tmp_path: Path, sandbox: Sandbox) -> None:
    source = "seen = []\ndef score(response):\n  seen.append(1)\n  return float(len(seen) == 1)"
    assert [judged(source, tmp_path, sandbox).reward for _ in range(2)] == [1.0, 1.0]


def test_sets_are_gone_through_in_one_order_wherever_it_runs(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    source = "def score(response): return hash(response) % 997 / 997"
    with Sandbox.start() as other:
        assert judged(source, tmp_path, sandbox) == judged(source, tmp_path, other)


def test_a_module_that_is_installed_may_judge(sandbox: Sandbox) -> None:
    code = read_code("statistics:mean")
    problem = Problem(
        problem_id="own/train/1",
        family="own",
        group="general",
        messages=(),
        verifier="own_code",
        expected={"code": code.model_dump(), "seconds": 2, "row": {"data": [0.25, 0.75]}},
    )
    assert verify(problem, Outcome(()), sandbox) == (0.5, "partly_right")
    changed = {**problem.expected, "code": code.model_copy(update={"signed": "0"}).model_dump()}
    with pytest.raises(ValueError, match="has changed since the config was stated"):
        verify(problem.model_copy(update={"expected": changed}), Outcome(()), sandbox)


def test_an_answer_of_a_megabyte_is_judged(tmp_path: Path, sandbox: Sandbox) -> None:
    verdict = judged(
        "def score(response): return len(response) / 1e6", tmp_path, sandbox, "x" * 10**6
    )
    assert math.isclose(verdict.reward, 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def other(): ...\nif True:\n  x = 1", "rewards.py has no score; it has other, x"),
        ("", "it has nothing"),
        ("import neighbour\ndef score(): ...", "line 1 imports 'neighbour', which lies beside it"),
        ("def score():\n  from neighbour import x", "line 2 imports 'neighbour', which lies"),
        ("from . import neighbour\ndef score(): ...", "line 1 imports '.', which lies beside it"),
        ("import pack.inner\ndef score(): ...", "imports 'pack', which lies beside it"),
        ("def score(", "no Python"),
        ("def score(): return '\\0'\0", "no Python"),
    ],
)
def test_code_that_could_not_run_elsewhere_is_refused_as_it_is_stated(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "rewards.py"
    path.write_text(text)
    (tmp_path / "neighbour.py").write_text("x = 1")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    with pytest.raises(ValueError, match=re.escape(words)):
        read_code(f"{path}:score")


@pytest.mark.parametrize(
    "text",
    [
        "score = lambda response: 1",
        "from operator import eq as score",
        "try:\n  from fast import score\nexcept ImportError:\n  def score(): ...",
        "from everything import *",
        "score: object = 1",
        "import json, json.decoder\nclass score: ...",
    ],
)
def test_names_may_be_defined_in_any_way(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rewards.py"
    path.write_text(text)
    (tmp_path / "json.py").write_text("")  # Python's own comes first
    assert read_code(f"{path}:score").entry == "score"
