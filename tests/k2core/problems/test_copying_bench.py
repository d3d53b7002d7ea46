"""What `bench.copying` asks: rows that repeat themselves, and a call as far as its tool's name."""

import random

import torch

from bench.copying import pick_problems, repeat, show_call
from k2core.chat import ChatCodec
from k2core.problems.unseen import with_unseen_tools


def test_a_name_begins_where_it_is_said_to(codec: ChatCodec) -> None:
    problems = list(pick_problems(3))
    assert len(problems) == 12
    for problem in (*problems, *(with_unseen_tools(p).problem for p in problems)):
        shown = show_call(problem, codec)
        name = codec.decode(shown.ids[shown.begin :])
        assert name.lstrip(".") == f"{problem.tools[0].name}:0"
        assert len(name) - len(problem.tools[0].name) <= 3


def test_rows_say_again_what_they_said() -> None:
    batch = repeat(random.Random(0), 2048)
    rows = torch.cat([batch.tokens[:, :1], batch.labels], 1)
    assert rows.min() > 256
    again = [len(row) - len(set(row)) for row in rows.tolist()]
    assert min(again) > 80
