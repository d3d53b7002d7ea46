"""The whole pipeline on the smoke recipe, as a user runs it: real, cached, rerun and audited."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch

from infra.home import ROOT
from workflows.recipes import smoke

pytestmark = pytest.mark.timeout(1500)
STAGES = smoke().stages


class Place:
    """A home of its own, and the command in it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def k2(self, *arguments: str) -> str:
        """What the command prints; an error if it fails."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW"))}
        env |= {"K2_HOME": str(self.home), "PYTHONPATH": str(ROOT), "COLUMNS": "240"}
        done = subprocess.run(
            [sys.executable, "-m", "workflows.cli", *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def artifact(self, kind: str) -> Path:
        """The newest artifact of a kind, by what the stages recorded."""
        records = sorted(self.home.rglob("record.json"), key=lambda path: path.stat().st_mtime)
        for path in reversed(records):
            for output in json.loads(path.read_text())["outputs"].values():
                if output["kind"] == kind:
                    digest = str(output["digest"]).removeprefix("sha256:")
                    return self.home / "store" / "objects" / digest
        raise LookupError(kind)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("smoke"))
    printed = place.k2("run", "--recipe", "smoke")
    rows = [line for line in printed.splitlines() if line.startswith("│")]
    assert [stage for stage in STAGES if not any(f" {stage} " in row for row in rows)] == []
    assert "cached" not in printed
    return place


def test_a_second_run_is_answered_from_the_cache(place: Place) -> None:
    found = json.loads(place.k2("run", "--recipe", "smoke", "--json"))
    assert {stage["stage"]: stage["cached"] for stage in found["stages"]} == dict.fromkeys(
        STAGES, True
    )
    assert found["scores"]["families"]
    assert len(re.findall(rf"{len(STAGES)}/{len(STAGES)}", place.k2("runs"))) >= 2


def test_the_release_is_whole_and_loads(place: Place) -> None:
    from transformers import AutoTokenizer, DeepseekV3ForCausalLM
    from transformers.tokenization_utils_base import BatchEncoding

    folder = place.artifact("release")
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    parity = json.loads((folder / "parity.json").read_text())
    assert all(p["max_logit_difference"] <= 1e-4 for p in parity.values())
    for name in ("base", "policy"):
        model = DeepseekV3ForCausalLM.from_pretrained(folder / name)
        chat = [{"role": "user", "content": "What is 1 + 2?"}]
        tokenizer = AutoTokenizer.from_pretrained(folder / name)
        ids = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        assert isinstance(ids, BatchEncoding)
        generate = cast("Callable[..., torch.Tensor]", type(model).generate)
        answer = generate(model, **ids, min_new_tokens=2, max_new_tokens=2)
        assert answer.shape[1] == len(ids["input_ids"][0]) + 2


def test_lineage_reaches_every_source(place: Place) -> None:
    tree = place.k2("lineage")
    sources = json.loads((place.artifact("raw_corpus") / "sources.json").read_text())
    assert [name for name in sources if name not in tree] == []
    assert [
        stage for stage in STAGES if f"made by {stage} " not in tree and stage != "release"
    ] == []


def test_every_stage_left_a_report(place: Place) -> None:
    reports = {path.stem: path for path in (place.home / "reports").rglob("*.html")}
    assert set(STAGES) <= reports.keys()
    for stage in ("clean", "pretrain", "sft", "rl", "evaluate"):
        assert "data:image/png;base64," in reports[stage].read_text()


def test_the_run_is_on_one_page(place: Place) -> None:
    page = min((place.home / "reports").rglob("index.html")).read_text()
    assert [stage for stage in STAGES if f'id="{stage}"' not in page] == []
    assert page.count('<figure class="chart">') >= 6
    assert "What it can do" in page


def test_every_rollout_names_weights_and_rewards(place: Place) -> None:
    import polars as pl

    rows = pl.read_parquet(place.artifact("rollout_log") / "rollouts" / "*.parquet")
    served = rows.group_by("iteration").agg(pl.col("weights").n_unique())
    assert served["weights"].to_list() == [1] * rows["iteration"].n_unique()
    # An iteration whose rewards are all alike teaches nothing, and leaves the weights.
    taught = rows.group_by("iteration", "problem_id").agg(pl.col("reward").n_unique())
    taught = taught.group_by("iteration").agg((pl.col("reward") > 1).any()).sort("iteration")
    updates = taught["reward"].to_list()[:-1]
    assert rows["weights"].n_unique() == 1 + sum(updates)


def test_one_stage_is_run_again_from_its_recorded_inputs(place: Place) -> None:
    before = place.artifact("token_corpus")
    asked = ("rerun", "tokenize", "--set", "tokenize.heldout_frac=0.06", "--json")
    (made,) = json.loads(place.k2(*asked))["outputs"]
    assert made["kind"] == "token_corpus"
    assert place.artifact("token_corpus") != before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        *("runs", "report", "lineage", "verify", "index", "ancestors", "diff latest latest", "gc"),
        *("rollouts", "rejudge", "export {}/dialogues.jsonl", "used --license MIT", "attest"),
        *("score lookup", "push --to {}/out", "tools show create_entities", "plan"),
    ],
)
def test_for_programs_there_is_json_and_nothing_else(place: Place, command: str) -> None:
    assert json.loads(place.k2(*command.format(place.home).split(), "--json"))


@pytest.mark.slow
def test_a_rerun_goes_on_downstream(place: Place) -> None:
    printed = place.k2("rerun", "sft", "--set", "sft.optim.lr=1e-3", "--downstream")
    rows = {row.split()[1]: row for row in printed.splitlines() if row.startswith("│ ")}
    assert [stage for stage in STAGES if "cached" not in rows[stage]] == [
        "rl",
        "evaluate",
        "release",
    ]


@pytest.mark.slow
def test_the_released_policy_answers(place: Place) -> None:
    assert place.k2("chat", "--say", "What is 1 + 2?").strip()
