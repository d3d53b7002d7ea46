"""What programs do every day, and what dishonest ones try, in tables that only grow: both tiers."""

from collections.abc import Iterator
from typing import cast

import pytest

from k2core.rewards import verify
from k2core.sandbox import Sandbox
from k2core.sandbox.tiers import Tier
from tests.k2core.rewards.posing import pose, say

TESTS = ["assert f(2) == 4", "assert f(3) == 9", "assert f(-1) == 1"]
SQUARE = pose("python_function", {"tests": list(TESTS), "entry_points": ["f"]})
HONEST = {
    "class-call": ("class f:\n def __new__(c,x): return x*x"),
    "deferred": ("def f(x):\n import math\n return math.prod([x,x])"),
    "decimal": ("from decimal import Decimal\ndef f(x): return Decimal(x)*x"),
    "bool-int": "def f(x): return x*x + False",
    "float-eq": "def f(x): return float(x*x)",
    "global-state": ("n=0\ndef f(x):\n global n; n+=1\n return x*x"),
    "prints": ("def f(x):\n print('working'); return x*x"),
    "stderr": ("import sys\ndef f(x):\n print('dbg',file=sys.stderr); return x*x"),
    "warn": ("import warnings\ndef f(x):\n warnings.warn('old'); return x*x"),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(x):\n"
        " with ThreadPoolExecutor(2) as p: return p.submit(lambda: x*x).result()"
    ),
    "recursionlimit": ("import sys\nsys.setrecursionlimit(10**6)\ndef f(x): return x*x"),
    "intenum": ("import enum\nclass E(enum.IntEnum):\n A=4;B=9;C=1\ndef f(x): return E(x*x)"),
    "match": ("def f(x):\n match x:\n  case _: return x*x"),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n v:int\ndef f(x): return P(x*x).v"
    ),
    "typing": (
        "from __future__ import annotations\n"
        "from typing import Optional\n"
        "def f(x: Optional[int]=None)->int: return x*x"
    ),
    "logging": (
        "import logging\nlogging.basicConfig(level=10)\ndef f(x):\n logging.info('x'); return x*x"
    ),
    "stdin-none": ("import sys\ndata=sys.stdin.read()\ndef f(x): return x*x"),
    "random": ("import random\nrandom.seed(1)\ndef f(x): return x*x"),
    "lru-method": ("class S:\n def f(self,x): return x*x\nf=S().f"),
    "main-block": (
        "import unittest\ndef f(x): return x*x\nif __name__=='__main__': unittest.main()"
    ),
    "asyncio-run": (
        "import asyncio\n"
        "async def g(x):\n"
        " await asyncio.sleep(0.01)\n"
        " return x*x\n"
        "def f(x): return asyncio.run(g(x))"
    ),
    "asyncio-gather": (
        "import asyncio\n"
        "async def g(x):\n"
        " a=await asyncio.gather(*[asyncio.sleep(0.001,x) for _ in range(9)])\n"
        " return a[0]*x\n"
        "def f(x): return asyncio.run(g(x))"
    ),
    "asyncio-thread": (
        "import asyncio\n"
        "async def g(x): return await asyncio.to_thread(lambda: x*x)\n"
        "def f(x): return asyncio.run(g(x))"
    ),
    "asyncio-queue": (
        "import asyncio\n"
        "async def g(x):\n"
        " q=asyncio.Queue()\n"
        " async def put():\n"
        "  await q.put(x*x)\n"
        " t=asyncio.create_task(put())\n"
        " return await asyncio.wait_for(q.get(),1)\n"
        "def f(x): return asyncio.run(g(x))"
    ),
    "asyncio-loop": (
        "import asyncio\n"
        "loop=asyncio.new_event_loop()\n"
        "async def g(x): return x*x\n"
        "def f(x): return loop.run_until_complete(g(x))"
    ),
    "fraction": ("from fractions import Fraction\ndef f(x): return Fraction(x)**2"),
}
DISHONEST = {
    "eq-all": (
        "class A(int):\n"
        " def __eq__(s,o): return True\n"
        " def __hash__(s): return 0\n"
        "def f(x): return A(5)"
    ),
    "bool-lie": (
        "class A:\n def __eq__(s,o): return 1\n def __ne__(s,o): return 0\ndef f(x): return A()"
    ),
    "reflected": ("class A(int):\n def __eq__(s,o): return True\n __req__=__eq__\nf=lambda x:A(0)"),
    "assertion": "def f(x): raise AssertionError",
    "keyboard": "def f(x): raise KeyboardInterrupt",
    "genexit": "def f(x): raise GeneratorExit",
    "sysexit0": "def f(x): raise SystemExit(0)",
    "stopasync": "def f(x): raise StopAsyncIteration",
    "kill-parent": ("import os,signal\ndef f(x): os.kill(os.getppid(), 9)"),
    "fork": ("import os\ndef f(x):\n os.fork(); return 4"),
    "write-wire": (
        "import os\n"
        "def f(x):\n"
        " for fd in range(3,64):\n"
        '  try: os.write(fd,b\'{"value": 4, "args": []}\\n\'*5)\n'
        "  except OSError: pass\n"
        " return 0"
    ),
    "close-all": ("import os\nos.closerange(0,64)\ndef f(x): return 4"),
    "dup-wire": (
        "import os\n"
        "for fd in range(3,20):\n"
        " try: os.dup2(1,fd)\n"
        " except OSError: pass\n"
        "def f(x): return 4"
    ),
    "atexit": (
        "import atexit,os\n"
        'atexit.register(lambda: os.write(4,b\'{"value":4,"args":[]}\\n\'))\n'
        "def f(x): return 4"
    ),
    "thread-write": (
        "import threading,os,time\n"
        "def w():\n"
        " while 1:\n"
        '  try: os.write(4,b\'{"value": 4, "args": []}\\n\')\n'
        "  except OSError: pass\n"
        "threading.Thread(target=w,daemon=True).start()\n"
        "def f(x): return 0"
    ),
    "excepthook": ("import sys\nsys.excepthook=lambda *a: print('passed')\ndef f(x): 1/0"),
    "settrace": ("import sys\ndef t(fr,e,a):\n return t\nsys.settrace(t)\ndef f(x): return 4"),
    "audit": ("import sys\nsys.addaudithook(lambda *a: None)\ndef f(x): return {2:4}.get(x)"),
    "gc": (
        "import gc\n"
        "for o in gc.get_objects():\n"
        " if isinstance(o,dict) and 'tests' in o: o['tests']=[]\n"
        "def f(x): return 0"
    ),
    "ctypes-true": (
        "import ctypes\n"
        "try:\n"
        " ctypes.c_int.from_address(id(False)+16).value=1\n"
        "except Exception: pass\n"
        "def f(x): return 0"
    ),
    "deep": ("def f(x):\n a=[]\n for _ in range(10**5): a=[a]\n return a"),
    "cyclic": ("def f(x):\n a=[]; a.append(a); return a"),
    "nan": "def f(x): return float('nan')",
    "surrogate": "def f(x): return '\\ud83d'",
    "surrogate-src": "def f(x): return '\ud83d'",
    "nul": "def f(x):\x00 return 4",
    "bom": "\ufeffdef f(x): return 4",
    "enc": ("# coding: utf-16\ndef f(x): return 4"),
    "repr-bomb": ("class A:\n def __repr__(s): return 'x'*10**9\ndef f(x): return A()"),
    "len-lie": ("class A(list):\n def __len__(s): return 3\ndef f(x): return A()"),
    "iter-lie": (
        "class A:\n"
        " def __iter__(s): return iter(())\n"
        " def __len__(s): return 1\n"
        "def f(x): return A()"
    ),
    "num-protocol": (
        "class A:\n"
        " def __index__(s): return 4\n"
        " def __int__(s): return 4\n"
        " def __float__(s): return 4.0\n"
        "def f(x): return A()"
    ),
    "mangle-sqrt": ("import builtins\nbuiltins.abs=lambda x: 4\ndef f(x): return 4"),
    "syntax": "def f(x) return",
    "empty": "",
    "import-star": ("from tests import *\ndef f(x): return 4"),
    "coroutine": "async def f(x): return x*x",
    "partial-class": ("class f:\n def __new__(c,x): return 4"),
}


@pytest.fixture(scope="module", params=["A", "B"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox.start((cast("Tier", request.param),)) as started:
        yield started


def test_what_programs_do_every_day_costs_no_reward(sandbox: Sandbox) -> None:
    verdicts = {name: verify(SQUARE, say(code), sandbox) for name, code in HONEST.items()}
    assert {name: v.reason for name, v in verdicts.items() if v.reward < 1.0} == {}


def test_dishonest_solutions_fail_and_end_nothing(sandbox: Sandbox) -> None:
    verdicts = {name: verify(SQUARE, say(code), sandbox) for name, code in DISHONEST.items()}
    assert [name for name, v in verdicts.items() if v.reward > 0 or v.is_faulty] == []
    assert verify(SQUARE, say(HONEST["match"]), sandbox).reward == 1.0


def test_asyncio_needs_no_socket_and_gets_none(sandbox: Sandbox) -> None:
    ask = "import asyncio\nasync def g():\n    await {}\nasyncio.run(g())\nprint(4)"
    program = pose("program", {"cases": [{"stdin": "", "stdout": "4"}]})
    right = {
        wanted: verify(program, say(ask.format(wanted)), sandbox).reward
        for wanted in (
            "asyncio.sleep(0)",
            "asyncio.to_thread(int)",
            "asyncio.open_connection('127.0.0.1', 80)",
            "asyncio.create_subprocess_exec('true')",
        )
    }
    assert list(right.values()) == [1.0, 1.0, 0.0, 0.0]
