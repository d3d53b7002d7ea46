"""Worlds of people, and which texts about them each arm of the rephrasing experiment reads."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from workflows.ablations.configs import RephrasingAblation
from workflows.ablations.facts import NUM_STYLES, QUESTIONS, Person, Text, ask, make_people, tell
from workflows.ablations.rewrites import AblationRewrite, judge_rewrites, rewrite_people

if TYPE_CHECKING:
    from k2core.rephrase.start import Rephraser


class World(NamedTuple):
    """People, and what is written about them."""

    seed: int
    taught: list[Person]
    """Of the first stage."""
    asked: list[Person]
    """Of the arms."""
    first: list[list[AblationRewrite]]
    """Of each person taught, by the model."""
    rewrites: list[list[AblationRewrite]]
    """Of each person asked about, by the model."""
    faults: list[list[str]]
    """What the fidelity gate finds wrong with these; empty if nothing."""

    def list_first(self) -> list[Text]:
        """What the first stage reads: the taught people in all wordings, and questions."""
        by_model = [rewrite.told for some in self.first for rewrite in some]
        return list_told(self.taught) + by_model + list_questions(self.taught) * 2

    def list_all(self) -> list[Text]:
        """Whatever is read or asked in any arm."""
        by_model = [rewrite.told for some in self.rewrites for rewrite in some]
        return self.list_first() + list_told(self.asked) + by_model + list_questions(self.asked)


def make_world(
    config: RephrasingAblation, seed: int, kept: Path, start: "Callable[[], Rephraser]"
) -> World:
    """Draw people and have their documents rewritten.

    Args:
        config: how many people, and who rewrites.
        seed: of the draw.
        kept: folder of finished rewrites.
        start: gives the writer, where rewrites are missing (`rewrite_people`).
    """
    people = make_people(config.num_taught + config.num_asked, seed)
    taught, asked = people[: config.num_taught], people[config.num_taught :]
    few = config.rewriter.model_copy(update={"rewrites_per_document": config.taught_rewrites})
    first = rewrite_people(few, taught, kept, start)
    rewrites = rewrite_people(config.rewriter, asked, kept, start)
    faults = judge_rewrites(config.rewriter.fidelity, rewrites, kept)
    return World(seed, taught, asked, first, rewrites, faults)


def list_told(people: Sequence[Person]) -> list[Text]:
    """Every person's document in all styles of the templates."""
    return [tell(person, style) for person in people for style in range(NUM_STYLES + 1)]


def list_questions(people: Sequence[Person]) -> list[Text]:
    """Every question about every person."""
    return [ask(person, kind) for person in people for kind in QUESTIONS]


Arm = Callable[[World], list[list[Text]]]
"""Texts of each person asked about, in the order in which the rounds come to them."""


def _by_template(*styles: int) -> Arm:
    return lambda world: [[tell(person, style) for style in styles] for person in world.asked]


def _by_model(count: int) -> Arm:
    return lambda world: [[r.told for r in some[:count]] for some in world.rewrites]


def _gated(world: World) -> list[list[Text]]:
    """What the gate lets pass, and the raw document in place of every rewrite refused."""
    return [
        [tell(r.told.person, 0) if fault else r.told for r, fault in zip(*pair, strict=True)]
        for pair in zip(world.rewrites, world.faults, strict=True)
    ]


ARMS: dict[str, Arm] = {
    "raw x 10": _by_template(0),
    "1 template x 10": _by_template(1),
    "10 templates x 1": _by_template(*range(1, NUM_STYLES + 1)),
    "1 by SmolLM2 x 10": _by_model(1),
    "10 by SmolLM2 x 1": _by_model(NUM_STYLES),
    "10 gated, else raw": _gated,
}
"""Which texts an arm reads."""


def name_result(config: RephrasingAblation, world: World, arm: str) -> str:
    """A file name that only equal arms of equal settings and texts share."""
    texts = [text.text for text in world.list_all()]
    chosen = [text.text for some in ARMS[arm](world) for text in some]
    about = [config.model_dump_json(exclude={"seeds"}), str(world.seed), arm, *texts, *chosen]
    return hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
