"""The sandbox in each tier: verdicts, languages, limits, and failures of its own."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from k2core.sandbox import (
    IoCase,
    Limits,
    Sandbox,
    SandboxError,
    SandboxUnavailableError,
    Verdict,
)
from k2core.sandbox.languages import LANGUAGES, find_language
from k2core.sandbox.tiers import Tier
from k2core.sandbox.zygote import Zygote

QUICK = Limits(cpu_s=1, wall_s=2.5, memory_mb=256, output_kb=64)
HONEST = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    tier: Tier = request.param
    with Sandbox.start((tier,)) as started:
        yield started


def test_flood_is_cut(sandbox: Sandbox) -> None:
    result = sandbox.run("while True: print('x' * 1000)", limits=QUICK)
    assert len(result.stdout) == QUICK.output_kb << 10
    assert result.end.exit_code != 0


def test_jobs_leave_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.run("open('/tmp/left', 'w').write('x')\nimport builtins\nbuiltins.print = None")
    result = sandbox.run("import os\nprint(os.path.exists('/tmp/left'))")
    assert result.stdout == "False\n"


def test_works_after_a_zygote_died(sandbox: Sandbox) -> None:
    sandbox._zygotes[""]._process.kill()
    sandbox._zygotes[""]._process.wait()
    assert sandbox.judge_calls(HONEST, TESTS, ("add",)).reward == 1.0


def test_concurrent_verdicts(sandbox: Sandbox) -> None:
    rewards: list[float] = []
    threads = [
        threading.Thread(
            target=lambda: rewards.append(sandbox.judge_calls(HONEST, TESTS, ("add",)).reward)
        )
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rewards == [1.0] * 12


def test_share_of_tests_and_reason(sandbox: Sandbox) -> None:
    verdict = sandbox.judge_calls("def add(a, b):\n    return 3", TESTS, ("add",))
    assert verdict == (0.5, "AssertionError: ")


def test_broken_solution_names_its_error(sandbox: Sandbox) -> None:
    verdict = sandbox.judge_calls("def add(a, b) return", TESTS, ("add",))
    assert verdict.reward == 0.0
    assert "SyntaxError" in verdict.reason


def test_input_and_output(sandbox: Sandbox) -> None:
    cases = [IoCase("2\n", "4"), IoCase("3\n", " 6\n")]
    assert sandbox.judge_io("print(2 * int(input()))", cases) == (1.0, "")
    assert sandbox.judge_io("print(4)", cases) == (0.5, "wrong output")
    assert sandbox.judge_io("print(1 / 0)", cases).reason == "exit code 1"


def test_empty_entry_points_and_tests_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="entry_points is empty"):
        sandbox.judge_calls(HONEST, TESTS, ())
    with pytest.raises(ValueError, match="tests is empty"):
        sandbox.judge_calls(HONEST, [], ("add",))


@pytest.mark.parametrize("language", ["bash", "c", "c++"])
def test_a_program_in_another_language(language: str) -> None:
    source = {
        "bash": "read n\nexit $((n + 1))",
        "c": '#include <stdio.h>\nint main(){int n; scanf("%d", &n); return n + 1;}',
        "c++": "#include <iostream>\nint main(){int n; std::cin >> n; return n + 1;}",
    }[language]
    with Sandbox.start(("A",)) as sandbox:
        assert sandbox.run(source, "6", language=language).end.exit_code == 7
        broken = sandbox.judge_io("(", [IoCase("", "")], language=language)
    assert broken.reward == 0.0
    said = "exit code 2" if language == "bash" else "does not compile: <stdin>"
    assert broken.reason.startswith(said)


def test_a_language_that_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox.start(("B",)) as sandbox:
        with pytest.raises(ValueError, match="unknown language 'cobol'; known: python, bash, c"):
            sandbox.run("", language="cobol")
        with pytest.raises(SandboxUnavailableError, match="tier B does not"):
            sandbox.run("", language="bash")
    absent = LANGUAGES["c"]._replace(toolchain="/usr/bin/no-gcc")
    monkeypatch.setitem(LANGUAGES, "c", absent)
    with pytest.raises(SandboxUnavailableError, match="c needs /usr/bin/no-gcc, which is not"):
        find_language("c", "A")


def test_answers_that_break_the_tests_earn_nothing_and_break_no_more(sandbox: Sandbox) -> None:
    huge = "def add(a, b):\n    return 16 ** 900_000"
    printed = sandbox.judge_calls(huge, ["x = add(1, 2)\nassert x == 3, x"], ("add",), QUICK)
    assert printed == (0.0, "AssertionError")
    slow = sandbox.judge_calls(huge, ["assert pow(add(1, 2), 99) == 3"], ("add",), QUICK)
    assert slow.reward == 0.0
    assert "over" in slow.reason


def test_a_failure_of_the_sandbox_is_retried_and_not_scored(sandbox: Sandbox) -> None:
    """The zygote dies while four verdicts are under way: all are right nevertheless."""
    slow = f"import time\ntime.sleep(0.4)\n{HONEST}"
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(sandbox.judge_calls, slow, TESTS, ("add",)) for _ in range(4)]
        time.sleep(0.2)
        sandbox._zygotes[""]._process.kill()
        assert [w.result() for w in waiting] == [(1.0, "")] * 4


def test_a_sandbox_that_goes_on_failing_is_faulty_and_no_reward(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def fail(zygote: Zygote, *_: object) -> Verdict:
        attempts.append(zygote)
        raise SandboxError("no memory for a jail")

    monkeypatch.setattr("k2core.sandbox.jobs.check_solution", fail)
    verdict = sandbox.judge_calls(HONEST, TESTS, ("add",))
    assert verdict.is_faulty
    assert not verdict.reward >= 0.0
    assert verdict.reason == "faulty environment: no memory for a jail"
    assert len(attempts) == 3


def test_a_prepared_job_has_its_modules_and_is_confined() -> None:
    setup = "import jsonschema\ndef name(): return jsonschema.__name__"
    source = "import prepared, sys\nprint(prepared.name(), sys.stdin.read())\nopen('/etc/passwd')"
    with Sandbox.start() as sandbox:
        ran = sandbox.run_prepared(setup, source, "given")
    assert ran.stdout == "jsonschema given\n"
    assert "PermissionError" in ran.stderr


def test_nothing_runs_where_nothing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k2core.sandbox.tiers._BWRAP", "/nonexistent/bwrap")
    with pytest.raises(SandboxUnavailableError, match="apt-get install bubblewrap"):
        Sandbox.start(("A",))


def test_unsafe_has_to_be_said() -> None:
    with pytest.raises(SandboxUnavailableError, match="unsafe=True"):
        Sandbox.start(("none",))
    with Sandbox.start((), unsafe=True) as sandbox:
        assert sandbox.tier == "none"
        assert sandbox.judge_calls(HONEST, TESTS, ("add",)).reward == 1.0
