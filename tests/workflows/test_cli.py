"""The command: every help text teaches, what is wrong is said before any work."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from workflows import launch
from workflows.cli import app

_MAIN = get_command(app)
assert isinstance(_MAIN, TyperGroup)
GROUP: TyperGroup = _MAIN
COMMANDS = GROUP.commands


@pytest.fixture(autouse=True)
def _no_work(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("work was started")

    monkeypatch.setattr(launch, "_run", refuse)


def fails(*arguments: str) -> str:
    """The message of a command that must fail plainly."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, result.exception
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert f"Example: k2 {name}" in shown.stdout
    silent = [p.name for p in COMMANDS[name].params if not getattr(p, "help", None)]
    assert silent == []


def leaves(group: TyperGroup, before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command with its options."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name, {option for one in command.params for option in one.opts}


def test_every_command_that_prints_figures_prints_them_as_json() -> None:
    talk, print_a_file = {"chat", "serve", "ui"}, {"schema", "keys show"}
    plain = {name for name, options in leaves(GROUP) if "--json" not in options}
    assert plain == talk | print_a_file


@pytest.mark.parametrize(
    ("command", "code", "key"),
    [
        ("runs", 0, "runs"),
        ("index", 0, "rows"),
        ("gc", 0, "rows"),
        ("keys new {}/own.pem", 0, "public"),
        ("validate {}/bad.jsonl", 1, "faults"),
    ],
)
def test_json_is_alone_on_the_standard_output(
    command: str, code: int, key: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"messages": 3}\n')
    shown = CliRunner().invoke(app, [*command.format(tmp_path).split(), "--json"])
    assert (shown.exit_code, key in json.loads(shown.stdout)) == (code, True), shown.exception


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("pretrain.optim.speed=1", ["no field 'speed'", "there are", "lr"]),
        ("pretrian.optim.lr=1", ["no section 'pretrian'", "pretrain"]),
        ("model.hidden_size=-8", ["model.hidden_size", "greater than or equal to 16", "got -8"]),
        ("model.experts_per_token=99", ["experts_per_token=99 exceeds num_experts=16"]),
        (
            "tokenize.mixture={web: 0.5, code: 0.2}",
            ["tokenize.mixture", "the shares sum to 0.7, not 1", "divide each by 0.7"],
        ),
        ("rl.num_iterations", ["write it as stage.field=value"]),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(setting: str, words: list[str]) -> None:
    message = fails("run", "--set", setting)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--recipe", "huge"], ["no recipe 'huge'; there are tiny, smoke"]),
        (
            ["run", "--recipe", "k2_1t"],
            ["'k2_1t' is placed on 768 h800 and this machine has", "`make deploy`"],
        ),
        (
            ["run", "--recipe", "k2_1t", "--set", "placement.tokens_a_rank=32768"],
            ["pretrain, long: placement TP1 PP16 EP16 DP32", "GB on each h800"],
        ),
        (
            ["run", "--recipe", "k2_1t", "--set", "placement.tokens_a_rank=256"],
            ["sequences of 32768 need 128 ranks at tokens_a_rank=256, and tp * pp leaves 32"],
        ),
        (["plan", "--gpu", "tpu"], ["no gpu 'tpu'; there are cpu, a100"]),
        (["plan", "--pp", "64", "--nodes", "64"], ["placement.pp=64 exceeds model.num_layers=61"]),
        (["plan", "--nodes", "1"], ["no layout of 8 h800 (8 a node) can hold 1,026.4 B"]),
        (["rerun", "polish"], ["no stage 'polish'; there are ingest, clean"]),
        (["rerun", "sft"], ["no pipeline is recorded yet: `k2 run` starts one"]),
        (["lineage"], ["nothing is released yet: `k2 run` makes a release"]),
        (["lineage", "nonsense"], ["'nonsense' is neither a recorded run"]),
        (["chat"], ["nothing is released yet: `k2 run` makes a release"]),
        (["chat", "nonsense", "--say", "hi"], ["'nonsense' is neither", "release or checkpoint"]),
        (["chat", "--problem", "chess"], ["nothing is released yet"]),
    ],
)
def test_what_is_not_there_is_said(arguments: list[str], words: list[str]) -> None:
    message = fails(*arguments)
    assert [word for word in words if word not in message] == []


def test_k2s_own_layout_is_planned() -> None:
    wish = ["--nodes", "64", "--gpus-per-node", "8", "--gpu", "h800", "--pp", "16", "--ep", "16"]
    shown = CliRunner().invoke(app, ["plan", *wish])
    assert shown.exit_code == 0
    assert [
        w for w in ("1,026,408.2", "32,861.5", "bubble", "Assumed:") if w not in shown.stdout
    ] == []
    plain = json.loads(CliRunner().invoke(app, ["plan", *wish, "--json"]).stdout)
    (found,) = plain["plans"]
    assert plain["parameters"]["total"] == 1_026_408_209_408
    assert found["layout"]["pp"] == found["layout"]["ep"] == 16
    assert found["days"] > 0
    later = {phase["name"]: phase["plan"]["layout"] for phase in plain["later"]}
    assert list(later) == ["pretrain, anneal", "pretrain, long", "sft"]
    assert later["pretrain, anneal"]["cp"] == 1 < later["pretrain, long"]["cp"]
    own = plain["own_placement"]
    assert [phase["refused"] for phase in own] == [None] * 4
    assert [phase["plan"]["layout"]["cp"] for phase in own] == [1, 1, 4, 4]
    wished = json.loads(CliRunner().invoke(app, ["plan", *wish, "--cp", "2", "--json"]).stdout)
    assert wished["plans"][0]["layout"]["cp"] == 2
    assert "need" in wished["later"][1]["refused"]  # two ranks are too few for 32,768 tokens


def test_runs_of_nothing_is_an_empty_table() -> None:
    shown = CliRunner().invoke(app, ["runs"])
    assert shown.exit_code == 0
    assert "status" in shown.stdout


def test_recipes_are_valid_without_an_engine() -> None:
    code = """
import sys
from workflows.overrides import change
from workflows.recipes import RECIPES
for name, recipe in RECIPES.items():
    assert change(recipe(), []).name == name
heavy = {"torch", "flyte", "mlflow", "vllm", "ray", "megatron", "transformers"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


LOOKS = """
import sys
from contextlib import suppress
from typer.main import get_command
from workflows.cli import app
watched = {"torch", "ray", "vllm", "megatron", "transformers"}
slow = {"mlflow", "flyte", "numpy", "polars"}
for line in sys.argv[1:]:
    with suppress(SystemExit, Exception):
        get_command(app).main(line.split(), standalone_mode=False)
    found = set(sys.modules) & (watched | (slow if line in ("--help", "runs") else set()))
    if found:
        print(f"k2 {line}: {sorted(found)}", file=sys.stderr)
"""


def test_looking_loads_no_engine_and_a_list_nothing_slow(home: Path) -> None:
    """Every command that only reads, on a home where it gets as far as looking for records."""
    files = (f"validate {home / 'none.jsonl'}", f"export {home / 'out.jsonl'}")
    looks = (
        *("--help", "runs", "tools --help", "plan --nodes 1 --recipe tiny", "rerun polish"),
        *("lineage", "why abc", "report", "rejudge", "chat", "chat --problem chess", *files),
    )
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, *looks], capture_output=True, text=True, check=True
    )
    assert [line for line in done.stderr.splitlines() if line.startswith("k2 ")] == []
