"""BFCL's several turns: a scripted server, asked by our suite and by the benchmark's own client."""

import copy
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from bfcl_eval.constants.default_prompts import (
    DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC as MORE_FUNCTIONS,
)

from k2core.evaluate.harness import Subject, run_suites
from k2core.evaluate.suites import bfcl_turns
from k2core.evaluate.suites.bfcl_package import ModelCall, load_package
from k2core.evaluate.suites.bfcl_services import (
    check_turns,
    make_calls,
    named_play,
    read_items,
    write_call,
)
from k2core.sandbox import Sandbox
from schemas.benchmarks import BenchmarkConfig
from schemas.endpoint import Endpoint
from tests.k2core.evaluate.answering import Body, Said, answering

Item = dict[str, Any]
_LIMIT = 21
_WAYS = ("gold", "one by one", "one left out", "none at last", "undefined", "broken", "endless")


def items_of(category: str) -> dict[str, Item]:
    """By what their users say, one after another."""
    return {json.dumps(_said(row["question"])): row for row in read_items(category)}


def _said(question: list[list[dict[str, str]]]) -> list[str]:
    told = [turn or [{"content": MORE_FUNCTIONS}] for turn in question]
    return [message["content"] for turn in told for message in turn]


def script(items: dict[str, Item]) -> Callable[[Body], Said]:
    """A model that knows the gold calls, and spoils them in a way of each item's own."""

    def answer(asked: Body) -> Said:
        users = [m["content"] for m in asked["messages"] if m["role"] == "user"]
        item = next(i for text, i in items.items() if json.loads(text)[: len(users)] == users)
        roles = [m["role"] for m in asked["messages"]]
        answers = roles[len(roles) - roles[::-1].index("user") :].count("assistant")
        gold = _calls_of(item, item["ground_truth"][len(users) - 1])
        last = len(users) == len(item["ground_truth"])
        way = _WAYS[zlib.crc32(item["id"].encode()) % len(_WAYS)]
        if way == "endless" and last:
            return Said(calls=gold[:1] or (("pwd", "{}"),))
        steps = [(call,) for call in gold] if way == "one by one" else [gold]
        if way == "one left out" and last:
            steps = [gold[1:]]
        if way == "none at last" and last:
            steps = []
        if way == "undefined":
            steps = [(("open_up", '{"file": "x"}'), *step) for step in steps]
        if way == "broken" and last:
            steps = [((gold[0][0], "{"),)] if gold else []
        return Said(calls=steps[answers]) if answers < len(steps) else Said("That is all.")

    return answer


def _calls_of(item: Item, written: list[str]) -> tuple[tuple[str, str], ...]:
    """The benchmark's own text of its gold calls, as a server sends them."""
    declared = [*item["function"], *(f for late in item["missed_function"].values() for f in late)]
    orders = {f["name"]: [*f["parameters"]["properties"]] for f in declared}
    found = []
    for text in written:
        name, _, rest = text.partition("(")
        read = eval(f"lambda order: (lambda *a, **k: dict(zip(order, a)) | k)({rest}")
        found.append((name, json.dumps(read(orders[name.strip()]))))
    return tuple(found)


@pytest.mark.slow
@pytest.mark.parametrize("category", bfcl_turns.CATEGORIES)
def test_items_are_judged_as_by_the_benchmarks_own_client(
    category: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_package()
    overrides = ModuleType("overrides")  # marks methods, and is not installed
    vars(overrides).update(final=lambda method: method)
    monkeypatch.setitem(sys.modules, "overrides", overrides)
    monkeypatch.setenv("BFCL_PROJECT_ROOT", str(tmp_path))
    monkeypatch.setattr(bfcl_turns, "CATEGORIES", (category,))
    items = items_of(category)
    with answering(script(items)) as (url, _), Sandbox.start() as sandbox:
        config = BenchmarkConfig(suites=("bfcl_turns",), limit=_LIMIT)
        asked = Subject("m", "", Endpoint(url=url, model="m"))
        run_suites(config, asked, sandbox, tmp_path / "ours")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        theirs = {item["id"]: _ask_theirs(item) for item in list(items.values())[:_LIMIT]}
    rows = pl.read_parquet(tmp_path / "ours" / "items.parquet")
    assert dict(zip(rows["item"], rows["passed"], strict=True)) == theirs
    assert 0.2 * len(theirs) < sum(theirs.values()) < 0.8 * len(theirs)


def _ask_theirs(item: Item) -> bool:
    from bfcl_eval.eval_checker.eval_runner import _evaluate_single_multi_turn_entry
    from bfcl_eval.model_handler.api_inference.openai_completion import OpenAICompletionsHandler

    handler = OpenAICompletionsHandler("m", 0.0, "m-FC", True)
    entry = copy.deepcopy(item)
    made, _ = handler.inference_multi_turn_FC(entry, False, True)
    found = _evaluate_single_multi_turn_entry(
        handler, item["id"], made, item["ground_truth"], copy.deepcopy(item), "m", ""
    )
    return bool(found["valid"])


def test_gold_calls_pass_and_nothing_a_model_wrote_is_run(tmp_path: Path) -> None:
    item = read_items("base")[0]
    gold = [[turn] for turn in item["ground_truth"]]
    assert check_turns(item, gold) == ""
    assert check_turns(item, [*gold[:-1], []]) == "empty_turn_model_response"
    assert check_turns(item, [[["ls()"]], *gold[1:]]) == "instance_state_mismatch"

    hostile = tmp_path / "made"
    known = {"ls", "power"}
    calls = [
        ModelCall("open", {"file": str(hostile), "mode": "w"}),
        ModelCall(f"open({str(hostile)!r}, 'w') or ls", {}),
        ModelCall("ls", {f"a=open({str(hostile)!r}, 'w'), b": 1}),
        ModelCall("power", {"base": 10, "exponent": 10**12}),
        ModelCall("ls", {"a": f"open({str(hostile)!r}, 'w')"}),
    ]
    with named_play() as play:
        answers = make_calls(item, play, [write_call(call, known) for call in calls])
    assert not hostile.exists()
    assert all(answer.startswith("Error during execution") for answer in answers[:4])
    assert "current_directory_content" in answers[4]
