"""The shipped baseline is of today's items: whoever changes them asks the baseline again."""

from collections.abc import Iterator

import pytest

from k2core.agents.endpoint import ChatModel
from k2core.evaluate.baseline import read_baseline
from k2core.evaluate.show import baseline_rows
from k2core.evaluate.suites import Bench, build_suite
from k2core.sandbox import Sandbox
from schemas.endpoint import Endpoint


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Sandbox.start() as sandbox:
        yield Bench(sandbox, ChatModel(Endpoint(url="http://127.0.0.1:9/v1", model="m")))


def test_the_baseline_is_of_todays_items(bench: Bench) -> None:
    baseline = read_baseline()
    assert baseline.weights.startswith("sha256:")
    assert baseline.config.tool_calls == "prompted"
    for name, score in baseline.suites.items():
        suite = build_suite(name, baseline.config, bench)
        asked = score.rate.total + score.faulty
        assert (suite.data, suite.source) == (score.data, score.source), baseline.command
        assert asked == len(suite.task.dataset)


def test_the_baseline_is_shown_by_category() -> None:
    rows = baseline_rows(read_baseline())
    assert {row["suite"] for row in rows} == {"humaneval", "bfcl", "families"}
    assert any(row["category"] == "repeat_word" for row in rows)
