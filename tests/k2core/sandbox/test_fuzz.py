"""Solutions, tests and traffic by a seeded fuzzer: a verdict comes of each, never an exception.

400 cases; `make test-all` asks for 1,000, and `FUZZ_CASES=20000` for more.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k2core.sandbox import IoCase, Limits, Sandbox, Verdict
from k2core.sandbox.inside.codec import Json, decode, encode

NUM_CASES = int(os.environ.get("FUZZ_CASES", "400"))
AT_A_TIME = 20
LIMITS = Limits(cpu_s=1, wall_s=5.0, memory_mb=256, output_kb=64)
IMPORTS = "import builtins, gc, json, os, signal, sys, threading\n"
_T = TypeVar("_T", bound=Callable[..., None])


def one_of(lines: str) -> st.SearchStrategy[str]:
    """One of the lines of a text."""
    return st.sampled_from([line.strip() for line in lines.strip().splitlines()])


ODD_TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010), max_size=8),
    st.sampled_from(["", "\0", "\ud83d", "\udfff\ud800", "😀" * 300, "\\" * 99, "(" * 5000]),
)
VALUES = one_of(r"""
    1
    None
    'a'
    [1, 2]
    {1: 2}
    {3}
    (1,)
    float('nan')
    10 ** 400
    b'\xff'
    '\ud83d'
    range(9)
    iter([1])
    (i for i in [1])
    lambda: 1
    object()
    f
    {}.keys()
    slice(1)
    NotImplemented
    int
    2j
    [0] * 300_000
    __import__('itertools').count()
    __import__('collections').Counter('aab')
    __import__('decimal').Decimal('1e99999999')
    ValueError('x')
    StopIteration
""")
RAISED = one_of(r"""
    ValueError
    StopIteration
    StopAsyncIteration
    GeneratorExit
    SystemExit
    KeyboardInterrupt
    MemoryError
    AssertionError
    UnicodeDecodeError
    ExceptionGroup('', [ValueError()])
    BaseExceptionGroup('', [SystemExit()])
    type('SolverGoneError', (BaseException,), {})
    type('StopIteration', (Exception,), {})
    KeyError('\ud83d')
    Warning
""")
DEEDS = st.one_of(
    st.builds("return {}".format, VALUES),
    st.builds("raise {}".format, RAISED),
    st.builds("os.close({})".format, st.integers(0, 6)),
    st.builds("os.dup2({}, {})".format, st.integers(0, 5), st.integers(0, 5)),
    st.builds("os._exit({})".format, st.integers(0, 255)),
    st.builds("os.write(4, {!r})".format, st.binary(max_size=30)),
    one_of(r"""
        sys.stdout = sys.stderr = None
        sys.modules.clear()
        os.fork()
        os.kill(os.getpid(), 11)
        threading.Thread(target=f, args=(1,)).start()
        sys.exit()
        x.clear()
        os.write(4, b'x' * 70_000)
        os.write(4, b'\n' * 99)
        os.read(3, 5)
        signal.alarm(1)
        signal.raise_signal(6)
        os.closerange(0, 99)
        sys.setrecursionlimit(5)
        f(x)
        os.set_blocking(4, False)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        builtins.len = None
        json.dumps = None
        builtins.__dict__.clear()
        sys.settrace(f)
        x.append(x)
        import atexit; atexit.register(f)
        print('😀' * 999)
    """),
)
SHAPES = st.sampled_from(
    [
        "{deed}\ndef f(x): return x",
        "def f(x):\n    {deed}",
        "def f(x):\n    {deed}\n    return [x]",
        "class f:\n    def __init__(self, x): {deed}\n    def __len__(self): {other}",
        "class f:\n    def __init__(self, x): self.x = x\n    def __iter__(self): {deed}",
        "def f(x):\n    try:\n        {deed}\n    finally:\n        {other}",
        "def f(x):\n    yield x\n    {deed}",
        "class C(list):\n    def __eq__(s, o):\n        {deed}\ndef f(x):\n    return C([1])",
        "class f:\n    def __init__(s, x): pass\n    def __str__(self):\n        {deed}\n"
        "    __eq__ = __bool__ = __getattr__ = __str__",
    ]
)
TAGS = """
    int float list tuple set dict ref iter named range decimal fraction keys items values counter
    ordered deque bytes complex date datetime time timedelta value error args message x
"""


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    tags = st.sampled_from(TAGS.split())
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(tags, inner, max_size=2))


def _kind(raised: str) -> str:
    return raised.split("(")[0]


WIRE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ODD_TEXTS),
    _nested,
    max_leaves=6,
).map(json.dumps)
LINES = st.one_of(
    st.binary(max_size=40),
    WIRE.map(str.encode),
    st.builds('{{"value": {}, "args": [{}]}}'.format, WIRE, WIRE).map(str.encode),
    st.builds('{{"error": {}, "args": {}}}'.format, WIRE, WIRE).map(str.encode),
)
LOOKS = one_of("""
    len(r) == 2
    r == x
    list(r) == [1]
    1 in r
    r[0]
    r.a
    not r
    str(r)
    r + r
    next(r) == 1
    r(1)
    hash(r)
    r < r
    x == [1, 2]
    abs(r - 1) < 2
    isinstance(r, f)
    sorted(r)
    {r: 1}
    [*zip(r, r)]
    all(map(f, [1]))
    r.append(1)
    f'{r:>9}'
    r == r
""")
TESTS = st.one_of(
    st.builds("assert f([1, 2]) == {}".format, VALUES),
    st.builds("x = [1, 2]\nr = f(x)\nassert {}".format, LOOKS),
    st.builds("try:\n    f(1)\nexcept {}:\n    pass".format, RAISED.map(_kind)),
    ODD_TEXTS,
    st.sampled_from(["import os; os._exit(0)", "f(lambda: 1)", "f(" * 999, "raise SystemExit"]),
)


class Case(NamedTuple):
    """A solution and its tests."""

    solution: str
    tests: list[str]


def _shaped(shape: str, deed: str, other: str) -> str:
    return IMPORTS + shape.format(deed=deed, other=other)


def _writes(lines: list[bytes], at_import: bool) -> str:
    loop = f"for line in {lines!r}: os.write(4, line + b'\\n')"
    body = f"{loop}\nf = len" if at_import else f"def f(x):\n    {loop}\n    return x"
    return IMPORTS + body


SOLUTIONS = st.one_of(
    st.builds(_shaped, SHAPES, DEEDS, DEEDS),
    st.builds(_writes, st.lists(LINES, max_size=4), st.booleans()),
    ODD_TEXTS,
)
CASES = st.builds(Case, SOLUTIONS, st.lists(TESTS, min_size=1, max_size=3))


def seeded(num: int) -> Callable[[_T], _T]:
    """The same cases in every run."""
    no_checks = [*HealthCheck]
    return settings(
        max_examples=num,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=no_checks,
    )


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox.start((request.param,)) as started:
        yield started


def check(verdict: Verdict) -> None:
    """Passed or failed, of bounded size, in a text that can be written."""
    assert not verdict.is_faulty, verdict
    assert 0.0 <= verdict.reward <= 1.0
    assert bool(verdict.reason) == (verdict.reward < 1.0)
    assert len(verdict.reason.encode()) <= 300


def test_every_case_has_a_verdict(sandbox: Sandbox) -> None:
    judged: list[Verdict] = []

    @seeded(max(1, NUM_CASES // 2 // AT_A_TIME))
    @given(st.lists(CASES, min_size=AT_A_TIME, max_size=AT_A_TIME))
    def judge(cases: list[Case]) -> None:
        with ThreadPoolExecutor(4) as pool:
            judged.extend(
                pool.map(lambda c: sandbox.judge_calls(c.solution, c.tests, ("f",), LIMITS), cases)
            )
        for verdict in judged[-len(cases) :]:
            check(verdict)

    judge()
    assert len(judged) >= NUM_CASES // 2
    rewards = {verdict.reward for verdict in judged}
    assert {0.0, 1.0} < rewards  # neither all pass nor all fail


def test_every_program_has_a_verdict(sandbox: Sandbox) -> None:
    @seeded(60)
    @given(ODD_TEXTS, ODD_TEXTS, ODD_TEXTS)
    def judge(source: str, stdin: str, stdout: str) -> None:
        check(sandbox.judge_io(source, [IoCase(stdin, stdout)], LIMITS))

    judge()


@seeded(500)
@given(WIRE)
def test_what_is_no_value_raises_and_does_nothing_else(line: str) -> None:
    try:
        value = decode(cast(Json, json.loads(line)), lambda tag, body: (tag, str(body)))
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError):
        return
    assert type(decode(encode(value))) is type(value)
