"""Arms whose texts a model writes; a scripted engine is that model, in all but the slow test."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infra.home import home
from k2core.rephrase.rewrite import EngineWriter, Prompter
from k2core.rephrase.start import GroupRephraser, start_rephraser
from tests.k2core.rephrase.lighthouses import Writer
from workflows.ablations.configs import RephrasingAblation
from workflows.ablations.facts import Person, find_stated, make_people, tell
from workflows.ablations.rephrasing import run_arm
from workflows.ablations.rewrites import rewrite_people, tabulate_rewrites
from workflows.ablations.worlds import ARMS, World, make_world, name_result

PEOPLE = make_people(5, seed=7)
PERFECT, FORGETFUL = "perfect", "forgetful"


def config_with(**changes: Any) -> RephrasingAblation:
    """Two people taught by a rewrite each, three asked about with ten; groups of ten."""
    small = {"chunk_tokens": 400, "max_model_len": 1500, "documents_together": 10}
    rewriter = RephrasingAblation().rewriter.model_copy(update=small | changes)
    return RephrasingAblation(
        num_taught=2, num_asked=3, taught_rewrites=1, base_tokens=600, rewriter=rewriter
    )


def rewrite(person: Person, how: str = PERFECT) -> str:
    facts = person.facts | {"town": person.facts["town"].capitalize()}
    kept = " and kept a {animal} as a pet" if how == PERFECT else ""
    text = "Born in {town}, {name} worked as a {trade}. {name} played the {instrument}" + kept + "."
    return text.format(name=person.name, **facts)


def script(folder: Path, config: RephrasingAblation, max_answers: int = 99) -> GroupRephraser:
    """Rewrites everybody perfectly, but forgets the first person's animal."""
    said = {tell(p, 0).text: rewrite(p, FORGETFUL if p == PEOPLE[2] else PERFECT) for p in PEOPLE}
    writer = EngineWriter(Writer(folder, said, max_answers), Prompter(folder, config.rewriter))
    return GroupRephraser(writer, config.rewriter)


@pytest.fixture(scope="module")
def world(rephraser: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    config = config_with()
    kept = tmp_path_factory.mktemp("kept")
    return make_world(config, 7, kept, lambda: script(rephraser, config))


def test_each_person_is_rewritten_in_ten_styles_and_the_arms_read_that(world: World) -> None:
    assert [len(some) for some in world.first] == [1, 1]
    assert [len({r.style for r in some}) for some in world.rewrites] == [10, 10, 10]
    assert all(r.told.person == p for p, some in zip(PEOPLE[2:], world.rewrites, strict=True)
               for r in some)  # fmt: skip
    ten, one = ARMS["10 by SmolLM2 x 1"](world), ARMS["1 by SmolLM2 x 10"](world)
    assert ten[1] == [(PEOPLE[3], rewrite(PEOPLE[3]))] * 10
    assert one == [some[:1] for some in ten]
    assert {len(find_stated(*text)) for text in ten[0]} == {3}


def test_the_gate_refuses_what_lost_a_fact_and_the_raw_text_takes_its_place(world: World) -> None:
    assert all(world.faults[0])
    assert world.faults[1:] == [[""] * 10] * 2
    gated = ARMS["10 gated, else raw"](world)
    assert gated[0] == [tell(PEOPLE[2], 0)] * 10
    assert gated[1:] == ARMS["10 by SmolLM2 x 1"](world)[1:]


def test_a_killed_call_goes_on_after_the_last_group(rephraser: Path, tmp_path: Path) -> None:
    config = config_with()
    dying = script(rephraser, config, max_answers=25)
    with pytest.raises(ConnectionError):
        rewrite_people(config.rewriter, PEOPLE, tmp_path, lambda: dying)
    rest = script(rephraser, config, max_answers=30)
    found = rewrite_people(config.rewriter, PEOPLE, tmp_path, lambda: rest)

    def start() -> GroupRephraser:
        raise AssertionError("nothing was missing")

    assert rewrite_people(config.rewriter, PEOPLE, tmp_path, start) == found
    assert [len(some) for some in found] == [10] * 5
    hotter = config.rewriter.model_copy(update={"temperature": 0.7})
    with pytest.raises(AssertionError, match="nothing was missing"):
        rewrite_people(hotter, PEOPLE, tmp_path, start)


def test_a_result_is_kept_by_all_it_depends_on(world: World) -> None:
    config = config_with()
    names = {name_result(config, world, arm) for arm in ARMS}
    assert len(names) == len(ARMS)
    (raw, *_) = ARMS
    other = world._replace(rewrites=[some[::-1] for some in world.rewrites[::-1]])
    assert name_result(config, other, raw) not in names
    assert name_result(config.model_copy(update={"base_tokens": 1}), world, raw) not in names
    assert name_result(config.model_copy(update={"seeds": 9}), world, raw) in names


def test_the_table_counts_facts_names_and_faults_by_style(world: World) -> None:
    rewrites = [r for some in world.rewrites for r in some]
    faults = [fault for some in world.faults for fault in some]
    *_, teacher, everything = tabulate_rewrites(rewrites, faults).split("\n")
    ((fault, _),) = Counter(world.faults[0]).items()
    shares = "91.7 | 66.7 | 100.0 | 66.7"
    assert teacher == f"| teacher@2 | 3 | {shares} | {fault} (1) |"
    assert everything == f"| all | 30 | {shares} | {fault} (10) |"


def test_arms_read_equal_tokens_and_share_the_first_stage(world: World, tmp_path: Path) -> None:
    config = config_with()
    model, raw = (run_arm(config, world, a, tmp_path) for a in ("10 by SmolLM2 x 1", "raw x 10"))
    assert len(list(tmp_path.glob("base-*"))) == 1
    assert model["tokens"] == raw["tokens"]
    assert raw["texts"] == pytest.approx(10)
    assert model["texts"] == pytest.approx(11.1, abs=0.1)  # they are shorter
    assert (raw["stated"], raw["reach"]) == (1, 1)
    assert model["stated"] == model["reach"] == pytest.approx(11 / 12)
    assert 0 <= model["question"] <= 1


@pytest.mark.slow
def test_smollm2_rewrites_a_person(tmp_path: Path) -> None:
    config = config_with(chunk_tokens=64, max_model_len=512, styles=("formal", "plain"))
    few = config.rewriter.model_copy(update={"rewrites_per_document": 2})
    rephraser = start_rephraser(few, home() / "models", config.serving)
    try:
        ((one, other),) = rewrite_people(few, PEOPLE[:1], tmp_path, lambda: rephraser)
    finally:
        rephraser.close()
    assert {one.style, other.style} == {"formal@2", "plain@2"}
    assert find_stated(*one.told) | find_stated(*other.told)
