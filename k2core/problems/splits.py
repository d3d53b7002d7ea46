"""Training, validation and held-out problems, disjoint by the hash of what they are about."""

import random
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count

from k2core.problems.bank import own_families
from k2core.problems.family import Content, Family, Posed
from k2core.problems.place import place_of
from k2core.problems.registry import FAMILIES
from k2core.problems.rows import Split
from k2core.problems.wording import draw_words
from schemas.chat import Problem
from schemas.problems import ProblemsConfig

_ATTEMPTS = 1000


class TooFewContentsError(ValueError):
    """A family has fewer different contents in a split than are asked for."""


def split_of(config: ProblemsConfig, family: Family, content: Content) -> Split | None:
    """Where a content belongs, in whatever words, by whichever family of its topic it is asked.

    None where it asks for things that belong to several splits: nobody is asked that.
    """
    places = {place_of(config, key) for key in family.keys(content)}
    return places.pop() if len(places) == 1 else None


def training_problem(config: ProblemsConfig, index: int) -> Problem:
    """The index-th training problem; families come in proportion to their weights.

    Of a source those that were not asked come first; then they come again.
    """
    if not config.sources.all:
        return pose_training(config, index).problem
    rng = _rng(config, index)
    name = _draw_family(config.weights, rng)
    if name in FAMILIES:
        return _pose_training(config, name, rng, index).problem
    problems = own_families(config)[name].splits["train"]
    if not problems:
        raise TooFewContentsError(f"{name}: none of its problems is for training")
    return problems[_Turns.of(config).before(index) % len(problems)]


class _Turns:
    """How often each family was drawn before the index-th problem."""

    def __init__(self, config_json: str) -> None:
        self._config = ProblemsConfig.model_validate_json(config_json)
        self._counts: dict[str, int] = {}
        self._turns: list[int] = []

    @staticmethod
    @lru_cache(maxsize=4)
    def _opened(config_json: str) -> "_Turns":
        return _Turns(config_json)

    @classmethod
    def of(cls, config: ProblemsConfig) -> "_Turns":
        """The config's, counted once a process."""
        return cls._opened(config.model_dump_json())

    def before(self, index: int) -> int:
        """Draws of the index-th problem's own family before it."""
        for number in range(len(self._turns), index + 1):
            drawn = _draw_family(self._config.weights, _rng(self._config, number))
            self._turns.append(self._counts.setdefault(drawn, 0))
            self._counts[drawn] += 1
        return self._turns[index]


def training_problems(config: ProblemsConfig, start: int = 0) -> Iterator[Problem]:
    """Training problems without end, from the start-th on."""
    return (training_problem(config, index) for index in count(start))


def pose_training(config: ProblemsConfig, index: int) -> Posed:
    """The index-th training problem of the generated families with its content, for an expert.

    Raises:
        ValueError: no generated family has a weight above 0.
    """
    if not any(config.families.values()):
        raise ValueError("problems.families has no weight above 0, and experts play these alone")
    rng = _rng(config, index)
    return _pose_training(config, _draw_family(config.families, rng), rng, index)


def _rng(config: ProblemsConfig, index: int) -> random.Random:
    return random.Random(f"{config.seed}/train/{index}")


def _draw_family(weights: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _pose_training(config: ProblemsConfig, name: str, rng: random.Random, index: int) -> Posed:
    family = FAMILIES[name]
    for _ in range(_ATTEMPTS):
        content = family.draw(rng)
        if split_of(config, family, content) == "train":
            problem_id = f"{name}/train/{config.seed}-{index}"
            posed = family.pose(content, rng, problem_id, config.two_turn_frac)
            words = random.Random(f"{config.seed}/words/{problem_id}")
            if posed.problem.tools and words.random() < config.reworded_frac:
                return posed._replace(problem=draw_words(posed.problem, words, config.coined_frac))
            return posed
    raise TooFewContentsError(f"{name}: no training content in {_ATTEMPTS} draws")


def held_out_problems(config: ProblemsConfig) -> list[Problem]:
    """`held_out_per_family` problems of each family in use, in the order of the config.

    Of a source they are at most so many.

    Raises:
        TooFewContentsError: a family has not that many different held-out contents, or a source
            has none.
    """
    found = _set_apart(config, "held_out", config.held_out_per_family)
    for name, family in own_families(config).items():
        if config.weights[name] and not family.splits["held_out"]:
            raise TooFewContentsError(
                f"{name}: none of its {family.num_problems} problems is held out: give more, raise "
                "problems.held_out_frac, or say so in a row's split"
            )
    return found


def validation_problems(config: ProblemsConfig, per_family: int) -> list[Problem]:
    """As many problems of each family in use, of contents that are for choosing.

    Raises:
        TooFewContentsError: a family has not that many different validation contents.
    """
    return _set_apart(config, "validation", per_family)


def _set_apart(config: ProblemsConfig, split: Split, per_family: int) -> list[Problem]:
    generated = [
        problem
        for name, weight in config.families.items()
        if weight > 0
        for problem in _pose_apart(config, FAMILIES[name], split, per_family)
    ]
    own = [
        problem
        for name, family in own_families(config).items()
        if config.weights[name] > 0
        for problem in family.splits[split][:per_family]
    ]
    return generated + own


def _pose_apart(
    config: ProblemsConfig, family: Family, split: Split, wanted: int
) -> Iterator[Problem]:
    rng = random.Random(f"{config.seed}/{split}/{family.name}")
    seen: set[str] = set()
    for _ in range(_ATTEMPTS * wanted):
        if len(seen) == wanted:
            return
        content = family.draw(rng)
        key = family.key(content)
        if key in seen or split_of(config, family, content) != split:
            continue
        problem_id = f"{family.name}/{split}/{config.seed}-{len(seen)}"
        seen.add(key)
        yield family.pose(content, rng, problem_id, config.two_turn_frac).problem
    if len(seen) < wanted:
        raise TooFewContentsError(
            f"{family.name} has only {len(seen)} different {split} contents of {wanted} wanted: "
            f"ask for fewer, or raise problems.{split}_frac"
        )
