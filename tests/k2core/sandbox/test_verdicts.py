"""No solution, test or traffic between them ends judging: passed, failed for a reason, faulty."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from k2core.sandbox import IoCase, Limits, Sandbox
from k2core.sandbox.outputs import same_output

LIMITS = Limits(cpu_s=2, wall_s=20.0, memory_mb=512)
ADD = "def f(x):\n    return x + 1\n"
LOUD = 'def f(x):\n    raise ValueError("😀" * 200)'
DEEP = "(" * 100_000


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox.start((request.param,)) as started:
        yield started


# fmt: off
FAILURES = [
    ("many long messages", LOUD, ["assert f(1) == 2"] * 150, "ValueError: 😀😀"),
    ("a thousand tests", "def f(x): return x", ["assert f(1) == 2"] * 1000, "AssertionError"),
    ("half a character in the code", "x = '\ud83d'\n" + ADD, ["assert f(1) == 3"], "import"),
    ("half a character in a message", "def f(x): raise OSError('\\ud83d')", ["f(1)"], "\\ud83d"),
    ("half a character in a test", ADD, ["assert f(1) == '\udfff'"], "UnicodeEncodeError"),
    ("a zero in the code", "x = '\0'", ["f(1)"], "import"),
    ("nested code", f"x = {DEEP}", ["f(1)"], "import"),
    ("a nested test", ADD, [f"assert f(1) == {DEEP}"], ""),
    ("a test that ends its process", ADD, ["import os\nos._exit(0)"], "ended its own process"),
    ("a test that dies", ADD, ["import ctypes\nctypes.string_at(0)"], "killed by signal 11"),
    ("a test that leaves", ADD, ["raise SystemExit"], "SystemExit"),
    ("a test of a lambda", ADD, ["f(lambda: 1)"], "a test passes a function"),
    ("a test without the solution", ADD, ["assert g(1)"], "NameError"),
    ("no such function", "x = 1", ["assert f(1)"], "KeyError: 'f'"),
    ("memory", "x = bytearray(4 << 30)", ["assert f(1)"], "MemoryError"),
    ("recursion", "def f(x): return f(x)", ["assert f(1)"], "RecursionError"),
    ("an exit", "import os\ndef f(x): os._exit(7)", ["f(1)"], "exit code 7: solution gone"),
    ("a crash", "import ctypes\ndef f(x): ctypes.string_at(0)", ["f(1)"], "killed by signal 11"),
    ("all descriptors closed", "import os\nos.closerange(0, 99)\n" + ADD, ["f(1)"], "gone"),
    ("an argument refused", ADD, ["f(object())"], "a test passes a object"),
]
# fmt: on


def test_a_function_may_call_its_parameters_as_ours_are_called(sandbox: Sandbox) -> None:
    names = ("self", "what", "made", "target", "name", "args", "kwargs")
    solution = "".join(f"def f_{name}(*, {name}): return {name}\n" for name in names)
    tests = [f"assert f_{name}({name}=2) == 2" for name in names]
    entry_points = tuple(f"f_{name}" for name in names)
    assert sandbox.judge_calls(solution, tests, entry_points, LIMITS) == (1.0, "")


@pytest.mark.parametrize(
    ("wanted", "said", "right"),
    [
        ("0.333333", "0.3333333333333333", True),
        ("0.3333333333333333", "0.333333", True),
        ("1e-7 2.50", "1e-7\n2.5", True),
        ("1234567.25", "1234567.2500001", True),
        ("-0.0", "0", True),
        ("0.3333", "0.33", False),
        ("0.0000001", "0", False),
        ("3.14", "3.14159", False),
        ("3", "3.0", False),
        ("2.5", "nan", False),
        ("2.5", "inf", False),
        ("2.5", "2.5 2.5", False),
        ("nan", "nan", True),
        ("2.5", "2,5", False),
        ("2.5", "9" * 400, False),
    ],
)
def test_what_is_printed_may_differ_by_rounding(wanted: str, said: str, right: bool) -> None:
    assert same_output(said, wanted) is right


@pytest.mark.parametrize(
    ("solution", "tests", "reason"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
def test_a_failure_has_its_reason(
    sandbox: Sandbox, solution: str, tests: list[str], reason: str
) -> None:
    verdict = sandbox.judge_calls(solution, tests, ("f",), LIMITS)
    assert not verdict.is_faulty
    assert verdict.reward == 0.0
    assert reason in verdict.reason
    assert len(verdict.reason.encode()) <= 300  # and it can be written as UTF-8


def test_a_thousand_tests_pass(sandbox: Sandbox) -> None:
    verdict = sandbox.judge_calls(ADD, ["assert f(1) == 2"] * 1000, ("f",), LIMITS)
    assert verdict == (1.0, "")


def test_tests_before_one_that_ends_its_process_count(sandbox: Sandbox) -> None:
    tests = ["assert f(1) == 2", "import os\nos._exit(0)", "assert f(2) == 3", "assert f(3) == 4"]
    verdict = sandbox.judge_calls(ADD, tests, ("f",), LIMITS)
    assert verdict == (0.25, "test 2 ended its own process: exit code 0")


def test_a_last_test_that_ends_its_process_is_not_passed(sandbox: Sandbox) -> None:
    assert sandbox.judge_calls(ADD, ["import os\nos._exit(0)"], ("f",), LIMITS).reward == 0.0


def test_half_characters_in_programs(sandbox: Sandbox) -> None:
    cases = [IoCase("\ud83d\n", "\ud83d"), IoCase("x\n", "x")]
    verdict = sandbox.judge_io("print(input())", cases, LIMITS)
    assert verdict.reward == 0.5
    assert sandbox.judge_io("print('\udfff')", cases, LIMITS).reason == "exit code 1"


def test_cpu_time_is_reported_when_time_runs_out(sandbox: Sandbox) -> None:
    limits = Limits(cpu_s=60, wall_s=1.5)
    ran = sandbox.run("while True: pass", limits=limits)
    assert ran.end.timed_out
    assert 0.02 < ran.end.cpu_s < 10


def test_threads_share_the_cpu_time(sandbox: Sandbox) -> None:
    spin = "import hashlib, threading\ndef f():\n    while True: hashlib.sha256(bytes(1 << 20))\n"
    source = f"{spin}for _ in range(4): threading.Thread(target=f).start()\nf()"
    ran = sandbox.run(source, limits=Limits(cpu_s=1, wall_s=60.0))
    assert ran.end.is_over_cpu(Limits(cpu_s=1))
    assert not ran.end.timed_out


def test_a_shells_children_share_the_cpu_time() -> None:
    busy = "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done\nwait"
    short = "while :; do python3 -c 'for i in range(10 ** 6): pass'; done"
    orphans = "(setsid bash -c 'while :; do :; done' &)\nsleep 60"
    limits = Limits(cpu_s=1, wall_s=60.0)
    with Sandbox.start(("A",)) as sandbox:
        for source in (busy, short, orphans):
            ran = sandbox.run(source, limits=limits, language="bash")
            assert ran.end.is_over_cpu(limits), source
            assert not ran.end.timed_out


def test_each_job_has_a_user_of_its_own_where_the_zygote_is_root(sandbox: Sandbox) -> None:
    if sandbox.tier == "A":
        assert sandbox.run("import os\nprint(os.getuid())").stdout == "1000\n"
        return
    source = "import os, time\ntime.sleep(0.3)\nprint(os.getuid())"
    with ThreadPoolExecutor(3) as pool:
        users = {ran.stdout for ran in pool.map(sandbox.run, [source] * 3)}
    assert len(users) == (3 if os.getuid() == 0 else 1)
    assert "0\n" not in users
