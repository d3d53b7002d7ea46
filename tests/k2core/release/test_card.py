import ast
from pathlib import Path

import pytest
import yaml

from k2core.model.counts import sum_parameters
from k2core.model.hf import describe_shape, write_json
from k2core.release.card import Facts, evaluation_table, model_card
from k2core.release.licenses import Source
from k2core.release.parity import Parity
from schemas.artifacts import Checkpoint, TokenCorpus, TrajectorySet
from schemas.model import ModelShape
from schemas.release import ReleaseConfig
from tests.k2core.release.facts import scores

SHAPE = ModelShape(num_experts=6, num_layers=3)
DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("a", "b", "c", "d"))}


def write_card(folder: Path, **counts: float) -> str:
    write_json(folder / "config.json", describe_shape(SHAPE))
    (folder / "scores.json").write_text(scores().model_dump_json())
    facts = Facts(
        shape_folder=folder,
        scores_file=folder / "scores.json",
        sources=[Source("wiki", "CC-BY-SA-4.0", "", ""), Source("sums", "MIT", "", "")],
        tokens=TokenCorpus(digest=DIGESTS["a"], counts={"train_tokens": 1_234_567}),
        trajectories=TrajectorySet(digest=DIGESTS["b"], counts=counts),
        base=Checkpoint(digest=DIGESTS["c"]),
        policy=Checkpoint(digest=DIGESTS["d"]),
        parity=Parity(
            tokens=256, max_logit_difference=2e-6, argmax_equal_frac=1, greedy_tokens_equal=16
        ),
    )
    return model_card(ReleaseConfig(name="tiny-k2", license="other"), facts)


def test_scores_stand_side_by_side_with_their_intervals() -> None:
    assert evaluation_table(scores()).splitlines() == [
        "| | base | SFT | RL |",
        "|---|---|---|---|",
        "| lookup ▲ | 0% [0%, 16%] | 50% [30%, 70%] | 95% [76%, 99%] |",
        "| compare | 0% [0%, 16%] | 50% [30%, 70%] | 50% [30%, 70%] |",
        "| **tools** | 0% [0%, 16%] | 50% [30%, 70%] | 50% [30%, 70%] |",
        "| valid tool calls | 0% [0%, 16%] | 0% [0%, 16%] | 50% [30%, 70%] |",
        "| perplexity, web | 12.35 | 13.00 | 14.00 |",
        "",
        "▲: reinforcement learning raised the pass rate beyond both intervals.",
    ]


def test_intervals_that_overlap_are_no_improvement() -> None:
    table = evaluation_table(scores(rl_low=0.69))
    assert "▲" not in table
    assert table.endswith("learning raised no family's pass rate beyond both intervals.")


def test_the_card_says_what_was_counted(tmp_path: Path) -> None:
    card = write_card(tmp_path, trajectories=4321.0, rejects=99.0)
    size = sum_parameters(SHAPE)
    for fact in (
        "# tiny-k2\n",
        "license: other\n",
        f"{size.total / 1e6:.2f} M parameters,\n{size.active / 1e6:.2f} M active a token, 3 layers",
        "2 of 6 experts",
        "| pre-training | 1,234,567 tokens",
        "| finetuning | 4,321 accepted trajectories",
        f"`{DIGESTS['c']}`",
        f"`{DIGESTS['d']}`",
        "wiki, sums",
        "at most\n2e-06",
        evaluation_table(scores()),
    ):
        assert fact in card


def test_a_count_that_lacks_is_an_error_and_not_zero(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="trajectories"):
        write_card(tmp_path, rejects=1.0)


def test_the_cards_heading_is_metadata_that_the_hub_reads(tmp_path: Path) -> None:
    start, heading, _ = write_card(tmp_path, trajectories=1.0).split("---\n", 2)
    metadata = yaml.safe_load(heading)
    assert not start
    assert metadata["license"] == "other"
    assert metadata["library_name"] == "transformers"


def test_the_cards_example_is_python(tmp_path: Path) -> None:
    _, code, _ = write_card(tmp_path, trajectories=1.0).split("```")
    assert ast.parse(code.removeprefix("python")).body
