"""Chunk by chunk: each prompt shows what was rewritten before it."""

import re
from pathlib import Path

import pytest

from k2core.rephrase.rewrite import (
    EngineWriter,
    Prompter,
    Rewriting,
    WritingBatch,
    WrittenChunk,
    rewrite_together,
    weigh_rounds,
)
from k2core.rephrase.sample import RewriteSource
from k2core.rephrase.styles import RewriteJob, load_styles
from tests.k2core.rephrase.lighthouses import Writer, config_for

ANSWERS = {"One one. ": "First.", "Two two. ": "Second.", "Three. ": "Third.", "Solo. ": "Alone."}
LONG, SHORT = "One one. Two two. Three.", "Solo."
REPLIES = {text.strip(): said for text, said in ANSWERS.items()}


def job(name: str, text: str) -> RewriteJob:
    (style,) = load_styles(["plain"])
    return RewriteJob(RewriteSource(name, "s", name, "knowledge", "MIT", text), style)


def write(jobs: list[RewriteJob], writer: EngineWriter, chunk_tokens: int) -> list[Rewriting]:
    finished = sorted(rewrite_together(jobs, writer, chunk_tokens))
    assert [index for index, _ in finished] == list(range(len(jobs)))
    return [rewriting for _, rewriting in finished]


def test_chunks_go_in_order_and_see_what_was_written(rephraser: Path) -> None:
    engine = Writer(rephraser, REPLIES)
    config = config_for(rephraser, chunk_tokens=8)
    jobs = [job("a", LONG), job("b", SHORT)]
    finished = rewrite_together(jobs, EngineWriter(engine, Prompter(rephraser, config)), 8)
    assert next(finished) == (1, Rewriting("Alone.", 1, 7, cut=False, by_model=1))
    assert len(engine.prompts) == 2  # the short one is there before the long one goes on
    ((index, long),) = finished
    assert index == 0
    assert long.text == "First.\nSecond.\nThird."
    assert (long.num_chunks, long.num_tokens, long.cut) == (3, 3 + 19, False)
    first, alone, second, third = engine.asked
    assert all(jobs[0].style.instruction in prompt for prompt in engine.asked)
    for prompt, chunk in ((first, "One one."), (alone, "Solo.")):
        assert f"own words.\n\n{chunk}<|im_end|>" in prompt
        assert prompt.count("<|im_start|>assistant") == 1
    assert "<|im_start|>assistant\nFirst.<|im_end|>" in second
    assert "<|im_start|>assistant\nFirst.\nSecond.<|im_end|>" in third
    assert third.endswith("own words.\n\nThree.<|im_end|>\n<|im_start|>assistant\n")
    assert "One one." not in second + third


@pytest.mark.parametrize(("limit", "shown"), [(10, "t.\nSecond."), (0, "")])
def test_only_the_end_of_it_is_shown(rephraser: Path, limit: int, shown: str) -> None:
    engine = Writer(rephraser, REPLIES)
    config = config_for(rephraser, chunk_tokens=8, context_tokens=limit)
    write([job("a", LONG)], EngineWriter(engine, Prompter(rephraser, config)), 8)
    third = engine.asked[-1]
    assert (f"<|im_start|>assistant\n{shown}<|im_end|>" in third) == bool(shown)
    assert "First" not in third


def test_a_chunks_room_grows_with_it_and_a_full_one_is_cut(rephraser: Path) -> None:
    engine = Writer(rephraser, {"One one.": "ends. ", "Two two.": "goes on" * 9})
    config = config_for(rephraser, chunk_tokens=8, max_growth=1.5)
    (found,) = write(
        [job("a", "One one. Two two.")], EngineWriter(engine, Prompter(rephraser, config)), 8
    )
    assert [how.max_tokens for how in engine.sampling] == [16 + 12] * 2
    assert found.cut
    assert found.num_tokens == 7 + 28


def test_each_chunk_has_a_seed_of_its_own(rephraser: Path) -> None:
    def seeds(seed: int) -> list[int | None]:
        engine = Writer(rephraser, REPLIES)
        config = config_for(rephraser, chunk_tokens=8, seed=seed, temperature=0.7)
        jobs = [job("a", LONG), job("b", LONG)]
        write(jobs, EngineWriter(engine, Prompter(rephraser, config)), 8)
        assert {how.temperature for how in engine.sampling} == {0.7}
        return [how.seed for how in engine.sampling]

    assert seeds(0) == seeds(0)
    assert len({*seeds(0), *seeds(1)}) == 12


def test_a_model_without_a_chat_template_is_named(rephraser: Path, tmp_path: Path) -> None:
    import shutil

    base = tmp_path / "base"
    shutil.copytree(rephraser, base, ignore=shutil.ignore_patterns("*.jinja"))
    with pytest.raises(ValueError, match=r"base has no chat template; take an instruct model"):
        Prompter(base, config_for(rephraser))


def test_a_document_of_any_length_is_rewritten_whole_and_keeps_its_sections(
    rephraser: Path,
) -> None:
    """Three hundred chunks, in a model that would never hold them together."""
    numbers = [f"Lamp {n} burns, as it always did." for n in range(300)]
    text = "Lamps\n\n" + " ".join(numbers[:200]) + "\n\nMore\n\n" + " ".join(numbers[200:])
    engine = Writer(rephraser, {said: said.replace("burns", "shines") for said in numbers}, 999)
    config = config_for(rephraser, chunk_tokens=40)
    writer = EngineWriter(engine, Prompter(rephraser, config))
    (found,) = write([job("long", text)], writer, 40)
    assert found.num_chunks == 300
    assert [int(n) for n in re.findall(r"Lamp (\d+) shines", found.text)] == list(range(300))
    assert [len(part.split("\n")) for part in found.text.split("\n\n")] == [1, 200, 1, 100]
    assert not any("Lamps" in prompt or "More" in prompt for prompt in engine.asked[:1])
    assert max(map(len, engine.prompts)) < config.max_model_len


def test_what_others_of_a_batch_have_written_counts() -> None:
    """Four chunks of 100 tokens, each half a document, in step: they end at 60, 80, 100 and 150."""
    batch = WritingBatch(2.0, [100] * 4)
    ends = [
        WrittenChunk(place, "", tokens, cut=False) for place, tokens in ((2, 60), (0, 80), (3, 100))
    ]
    written = [batch.finish(end) for end in ends]
    assert written == pytest.approx([0.5 * (1 + 3 * 0.6), 0.5 * (2 + 2 * 0.8), 0.5 * 4])
    assert batch.finish(WrittenChunk(1, "", 150, cut=True)) == 2.0


def test_the_last_chunks_of_the_longest_take_as_long_as_the_first_ones_of_all() -> None:
    """Of fourteen documents one has three chunks: it alone is two thirds of the time."""
    assert weigh_rounds([[100]] * 13 + [[80, 100, 100]]) == pytest.approx([14 / 3] * 3)
    assert weigh_rounds([[100, 50], []]) == pytest.approx([4 / 3, 2 / 3])
    assert weigh_rounds([[], []]) == []
