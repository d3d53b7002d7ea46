import ast
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from k2core.model.counts import sum_parameters
from k2core.model.hf import describe_shape, write_json
from k2core.release.card import CardFacts, model_card
from k2core.release.dialogues import ADD
from k2core.release.example import CardExample
from k2core.release.licenses import LicensedSource
from k2core.release.metadata import Which
from k2core.release.parity import Parity
from k2core.release.precision import Rounding
from k2core.release.readers import Reading
from k2core.release.score_tables import condition_table, evaluation_table, overlap_table
from schemas.lineage import LineageRecord
from schemas.model import ModelShape
from schemas.release import ReleaseConfig
from tests.k2core.release.facts import scores

SHAPE = ModelShape(num_experts=6, num_layers=3)
DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(("a", "b", "c", "d"))}


LINEAGE = [
    LineageRecord.model_validate(
        {
            "stage": stage,
            "version": "1",
            "outputs": {kind: {"kind": kind, "digest": d, "counts": c}},
        }
    )
    for (stage, kind, c), d in zip(
        [
            ("pretrain", "checkpoint", {"steps": 90.0, "tokens": 737_280.0}),
            ("sft", "checkpoint", {"dialogues": 8100.0, "skipped_dialogues": 116.0}),
            ("clean", "clean_corpus", {"documents": 5.0}),
        ],
        DIGESTS.values(),
        strict=False,
    )
]
READINGS = [
    Reading(reader="transformers 5", checked=True, max_logit_difference=2e-6, dialogues_equal=36),
    Reading(reader="transformers 4", checked=False),
]
EXAMPLE = CardExample(
    [{"role": "user", "content": "What is 12 + 47?"}], [ADD.declaration()], "<|tool_calls|>..."
)


def write_card(
    folder: Path,
    which: Which = "policy",
    brought: str = "",
    rounding: Rounding | None = None,
    **changes: object,
) -> str:
    write_json(folder / "config.json", describe_shape(SHAPE))
    facts = CardFacts(
        which=which,
        folder=folder,
        scores=scores(),
        sources=[
            LicensedSource(
                "wiki", "CC-BY-SA-4.0", "pkg", "2", "knowledge, 9 documents", "its authors"
            ),
            LicensedSource("sums", "MIT"),
        ],
        lineage=LINEAGE,
        digest=DIGESTS["d"],
        rounding=rounding,
        brought=brought,
        parity=Parity(
            windows=(64, 1000),
            tokens=256,
            max_logit_difference=2e-6,
            argmax_equal_frac=1,
            greedy_tokens_equal=16,
        ),
        readings=READINGS,
        served=8 if which == "policy" else 0,
        example=EXAMPLE if which == "policy" else None,
    )
    config = ReleaseConfig.model_validate({"name": "tiny-k2", "organization": "us", **changes})
    return model_card(config, facts)


def head_of(card: str) -> dict[str, Any]:
    """Its metadata, as the Hub's own library reads it."""
    found: dict[str, Any] = ModelCard(card).data.to_dict()  # type: ignore[no-untyped-call]
    return found


def test_scores_stand_side_by_side_with_their_intervals() -> None:
    assert evaluation_table(scores()).splitlines() == [
        "| | base | SFT | RL |",
        "|---|---|---|---|",
        "| lookup ▲ | 0% [0%, 16%] | 50% [30%, 70%] | 95% [76%, 99%] |",
        "| compare | 0% [0%, 16%] | 50% [30%, 70%] | 50% [30%, 70%] |",
        "| **tools** | 0% [0%, 16%] | 50% [30%, 70%] | 50% [30%, 70%] |",
        "| valid tool calls | 0% [0%, 16%] | 0% [0%, 16%] | 50% [30%, 70%] |",
        "| cut off before their end | 50% [30%, 70%] | 0% [0%, 16%] | 0% [0%, 16%] |",
        "| likeliest of four: continue web | 50% [30%, 70%] | 50% [30%, 70%] | 0% [0%, 16%] |",
        "| perplexity, web | 12.35 | 13.00 | 14.00 |",
        "",
        "▲, ▼: reinforcement learning raised, lowered the pass rate (exact McNemar test against "
        "SFT on the same problems, p below 5 % over all families by Holm's correction).",
    ]


def test_conditions_and_overlap_are_told(tmp_path: Path) -> None:
    assert "schemas while they are written ▲ | 0% [0%, 16%] | 50%" in condition_table(
        scores(), "policy"
    )
    overlaps = scores().overlaps
    assert overlaps is not None
    assert "| bfcl | 1240 | 3 | 0 | 0 |" in overlap_table(overlaps, "")
    card = write_card(tmp_path, brought="hf://org/moon")
    assert "which hf://org/moon did not read" in card


def test_what_may_be_chance_is_no_improvement() -> None:
    table = evaluation_table(scores(lookup=(9, 3, 0.14)))
    assert "▲" not in table
    assert "changed no family's pass rate by more than chance may" in table


def test_the_card_says_what_was_counted(tmp_path: Path) -> None:
    card = write_card(tmp_path)
    size = sum_parameters(SHAPE)
    for fact in (
        "# tiny-k2\n",
        f"{size.total / 1e6:.2f} M parameters, {size.active / 1e6:.2f} M active a token, 3 layers",
        "2 of 6 experts",
        "| pre-training with MuonClip | 90 optimizer steps, 737,280 tokens read |",
        "8,100 dialogues, 116 dialogues left out as too long |",
        f"`{DIGESTS['d']}`",
        "| wiki | knowledge, 9 documents | CC-BY-SA-4.0 | its authors | pkg 2 |",
        "| sums |",
        "`MADE.md`",
        "| transformers 5 | 2e-06 | 36 dialogues as trained |",
        "| transformers 4 | not checked",
        "| a GPU, SGLang, TGI | not checked |",
        "| llama.cpp (GGUF) | not converted",
        "windows of 64, 1000 tokens",
        "made from raw text; this is the agent",
        "<|tool_calls|>...",
        "its server answered 8 requests",
        "Of its answers 7 failed: wrong answer 7.",
        evaluation_table(scores()),
    ):
        assert fact in card
    assert "clean_corpus" not in card


def test_a_brought_model_is_said_to_be_one(tmp_path: Path) -> None:
    base = write_card(tmp_path, "base", brought="hf://org/moon")
    assert "(arXiv:2507.20534), brought from hf://org/moon and not changed." in base
    policy = write_card(tmp_path, brought="hf://org/moon")
    assert "made from the weights of hf://org/moon; this is the agent" in policy


def test_the_bf16_repository_names_its_parent(tmp_path: Path) -> None:
    rounding = Rounding(max_logit_difference=0.02, argmax_equal_frac=0.987)
    card = write_card(tmp_path, rounding=rounding)
    assert "# tiny-k2-bf16\n" in card
    assert 'from_pretrained("us/tiny-k2-bf16")' in card
    assert "differ by at most 2e-02, and the likeliest token is the same at 98.7%" in card
    metadata = head_of(card)
    assert (metadata["base_model"], metadata["base_model_relation"]) == ("us/tiny-k2", "quantized")


def test_losses_are_marked_like_gains() -> None:
    assert "| lookup ▼ | 0%" in evaluation_table(scores(lookup=(0, 9, 0.004)))


@pytest.mark.parametrize("which", ["base", "policy"])
def test_the_cards_heading_is_metadata_that_the_hub_reads(tmp_path: Path, which: Which) -> None:
    metadata = head_of(write_card(tmp_path, which))
    assert metadata["license"] == "other"
    assert (metadata["license_name"], metadata["license_link"]) == ("see-licenses", "LICENSES.md")
    assert metadata["language"] == ["en"]
    assert metadata.get("base_model") == ("us/tiny-k2-base" if which == "policy" else None)
    (index,) = metadata["model-index"]
    names = [result["dataset"]["name"] for result in index["results"]]
    assert names == [
        "held-out problems: lookup",
        "held-out problems: compare",
        "held-out text: web",
    ]
    lookup = index["results"][0]["metrics"][0]["value"]
    assert lookup == scores().families["lookup"][which].rate


def test_a_licence_of_the_publishers_own_needs_no_link(tmp_path: Path) -> None:
    metadata = head_of(write_card(tmp_path, license="apache-2.0"))
    assert metadata["license"] == "apache-2.0"
    assert "license_name" not in metadata


@pytest.mark.parametrize("which", ["base", "policy"])
def test_the_cards_example_is_python(tmp_path: Path, which: Which) -> None:
    code = write_card(tmp_path, which).split("```python")[1].split("```")[0]
    assert ast.parse(code).body
