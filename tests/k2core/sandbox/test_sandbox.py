"""Hostile programs do no harm, dishonest solutions earn nothing, honest ones pass; in each tier."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2core.sandbox import IoCase, Limits, Sandbox, SandboxUnavailableError
from k2core.sandbox.tiers import Tier

QUICK = Limits(cpu_s=1, wall_s=2.5, memory_mb=256, output_kb=64)
HONEST = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    tier: Tier = request.param
    with Sandbox.start((tier,)) as started:
        yield started


# Each prints ESCAPED if it gets what it wants.
HOSTILE = {
    "fork": "import os\nwhile True:\n    os.fork()\n    print('ESCAPED')",
    "thread": "import threading\nthreading.Thread(target=print, args=('ESCAPED',)).start()",
    "exec": "import os\nos.execv('/bin/echo', ['echo', 'ESCAPED'])",
    "memory": "x = bytearray(4 << 30)\nprint('ESCAPED')",
    "memfd": "import os\nos.memfd_create('x')\nprint('ESCAPED')",
    "loop": "while True: pass",
    "ignored signal": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    ),
    "sleep": "import time\ntime.sleep(60)\nprint('ESCAPED')",
    "tcp": "import socket\nsocket.create_connection(('127.0.0.1', 1))\nprint('ESCAPED')",
    "udp": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nprint('ESCAPED')",
    "unix": "import socket\nsocket.socketpair()\nprint('ESCAPED')",
    "passwords": "print(open('/etc/passwd').read() and 'ESCAPED')",
    "host file": "print(open({secret!r}).read() and 'ESCAPED')",
    "host processes": "print(open('/proc/{pid}/cmdline').read() and 'ESCAPED')",
    "environment": "import os\nprint('ESCAPED' if 'K2_SECRET' in os.environ else 'clean')\n1 / 0",
    "write outside": "open('/usr/x', 'w')\nprint('ESCAPED')",
    "write home": "open({secret!r} + '.new', 'w')\nprint('ESCAPED')",
    "kill the driver": "import os\nos.kill({pid}, 9)\nprint('ESCAPED')",
    "kill all": "import os\nos.kill(-1, 9)\nprint('ESCAPED')",
    "ptrace": (
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0\nprint('ESCAPED')"
    ),
    "namespaces": (
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0\nprint('ESCAPED')"
    ),
    "io_uring": (
        "import ctypes\nassert ctypes.CDLL(None).syscall(425, 1, 0) != -1\nprint('ESCAPED')"
    ),
    "big file": (
        "f = open('/dev/shm/x', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20))\nf.close()\n"
        "print('ESCAPED')"
    ),
    "descriptors": ("import os\nf = [os.dup(0) for _ in range(1000)]\nprint('ESCAPED')"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_program_fails(
    sandbox: Sandbox, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_SECRET", "x")
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    tmp_path.chmod(0o777)
    source = HOSTILE[name].replace("{secret!r}", repr(str(secret)))
    result = sandbox.run(source.replace("{pid}", str(os.getpid())), limits=QUICK)
    assert "ESCAPED" not in result.stdout
    assert result.end.exit_code != 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secret"]


def test_flood_is_cut(sandbox: Sandbox) -> None:
    result = sandbox.run("while True: print('x' * 1000)", limits=QUICK)
    assert len(result.stdout) == QUICK.output_kb << 10
    assert result.end.exit_code != 0


def test_jobs_leave_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.run("open('/tmp/left', 'w').write('x')\nimport builtins\nbuiltins.print = None")
    result = sandbox.run("import os\nprint(os.path.exists('/tmp/left'))")
    assert result.stdout == "False\n"


def test_works_after_a_zygote_died(sandbox: Sandbox) -> None:
    sandbox._zygote._process.kill()
    sandbox._zygote._process.wait()
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


HONEST_CASES = {
    "function": (HONEST, TESTS, ("add",)),
    "in place": (
        "def sort(x):\n    x.sort()",
        ["x = [2, 1]\nsort(x)\nassert x == [1, 2]"],
        ("sort",),
    ),
    "generator": (
        "def up(n):\n    yield from range(n)",
        ["assert list(up(3)) == [0, 1, 2]"],
        ("up",),
    ),
    "class": (
        "class Stack:\n    def __init__(self):\n        self.x = []\n"
        "    def push(self, v):\n        self.x.append(v)\n    def top(self):\n"
        "        return self.x[-1]",
        ["s = Stack()\ns.push((1, 2.5))\nassert s.top() == (1, 2.5)"],
        ("Stack",),
    ),
    "raises": (
        "def f(x):\n    raise ValueError('no')",
        ["try:\n    f(1)\nexcept ValueError:\n    pass\nelse:\n    assert False"],
        ("f",),
    ),
    "prints": (
        "def f():\n    print('hello')\n    return {1: {2}}",
        ["assert f() == {1: {2}}"],
        ("f",),
    ),
    "big int": ("def f():\n    return 3 ** 200", [f"assert f() == {3**200}"], ("f",)),
}


@pytest.mark.parametrize("name", HONEST_CASES)
def test_honest_solution_passes(sandbox: Sandbox, name: str) -> None:
    solution, tests, entry_points = HONEST_CASES[name]
    assert sandbox.judge_calls(solution, tests, entry_points) == (1.0, "")


DISHONEST = {
    "faked equality": (
        "class Any(int):\n    __eq__ = lambda s, o: True\n    __hash__ = None\n"
        "def add(a, b):\n    return Any()"
    ),
    "faked equality of an object": (
        "class Any:\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n"
        "def add(a, b):\n    return Any()"
    ),
    "exit 0": "import os\nos._exit(0)",
    "exit 0 in the call": "def add(a, b):\n    import os\n    os._exit(0)",
    "system exit": "def add(a, b):\n    raise SystemExit(0)",
    "patched builtins": (
        "import builtins\nbuiltins.AssertionError = type('E', (BaseException,), {})\n"
        "builtins.len = lambda x: 3\ndef add(a, b):\n    return 0"
    ),
    "printed verdict": (
        "import os, json\ndef add(a, b):\n    for fd in range(1, 9):\n        try:\n"
        '            os.write(fd, b\'["", ""]\\n\')\n        except OSError:\n'
        "            pass\n    return 0"
    ),
    "forged answers": (
        "import os\nfor fd in range(3, 9):\n    try:\n"
        '        os.write(fd, b\'{"value": 3, "args": []}\\n\' * 9)\n    except OSError:\n'
        "        pass\ndef add(a, b):\n    return 0"
    ),
    "patched codec": (
        "import sys\nfor m in list(sys.modules.values()):\n    if hasattr(m, 'encode'):\n"
        "        m.encode = lambda *a: {'ref': [0]}\ndef add(a, b):\n    return 0"
    ),
    "reads the tests": (
        "import gc, sys\ndef add(a, b):\n    what = ' '.join(['assert', 'add'])\n"
        "    if what in str(gc.get_objects()): return 3\n"
        "    f = sys._getframe()\n    while f:\n        if 'tests' in f.f_locals: return 3\n"
        "        f = f.f_back"
    ),
    "raises what passes": "def add(a, b):\n    raise StopIteration",
    "does not return": "def add(a, b):\n    while True: pass",
    "deep answer": "def add(a, b):\n    x = []\n    for _ in range(99): x = [x]\n    return x",
}


@pytest.mark.parametrize("name", DISHONEST)
def test_dishonest_solution_earns_nothing(sandbox: Sandbox, name: str) -> None:
    verdict = sandbox.judge_calls(DISHONEST[name], ["assert add(1, 2) == 3"], ("add",), QUICK)
    assert verdict.reward == 0.0
    assert verdict.reason


def test_helper_of_the_test_is_not_resolved_in_the_solution(sandbox: Sandbox) -> None:
    forger = "def add(a, b):\n    return 0\ndef equal(a, b):\n    return True"
    verdict = sandbox.judge_calls(forger, ["assert equal(add(1, 2), 3)"], ("add",))
    assert verdict.reward == 0.0
    assert "NameError" in verdict.reason


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


def test_jobs_die_with_the_driver() -> None:
    driver = (
        "import os, signal, threading, time\nfrom k2core.sandbox import Sandbox\n"
        "s = Sandbox.start()\n"
        "job = lambda: s.run('while True: pass')\n"
        "threading.Thread(target=job, daemon=True).start()\ntime.sleep(0.3)\n"
        "print(s._zygote._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run([sys.executable, "-c", driver], capture_output=True, text=True, cwd=".")
    zygote = Path("/proc") / ran.stdout.strip()
    for _ in range(100):
        if not zygote.exists() or "Z" in (zygote / "stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"the zygote {zygote} outlived its driver: {ran.stderr}")
