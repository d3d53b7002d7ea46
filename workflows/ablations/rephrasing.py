"""Table 1 of the report in miniature: repeat a text, or rewrite it? (arXiv:2507.20534, 2.2).

A small K2-shaped model first learns the language from other people (their documents in all
wordings, and questions about them). Then it reads about the people it will be asked about: the raw
document 10 times, one rewrite 10 times, or ten rewrites once each, for as many tokens in every arm,
with the same share of the first text mixed in so that it does not forget what a question is.
Rewrites are by templates, which cannot err, or by a language model. Asked are questions, whose
wording was never used of these people.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from k2core.optim.schedule import learning_rate
from workflows.ablations.configs import RephrasingAblation
from workflows.ablations.facts import (
    NUM_STYLES,
    FactDocument,
    FactLanguage,
    Text,
    find_stated,
    tell,
)
from workflows.ablations.kept import Result
from workflows.ablations.worlds import ARMS, World, list_questions, name_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer


def run_arm(config: RephrasingAblation, world: World, arm: str, scratch: Path) -> Result:
    """Train and ask one arm; the model that knows the language is made once a world.

    Returns:
        `question` and `own_wording`: shares of the facts told, when asked, and when the arm's own
        training text is begun; `taught`: of questions about people of the first stage; `stated`:
        share of the facts that a text of the arm states; `reach`: that any of a person's texts
        states; `question_stated`: of those, told when asked; `texts`: read a person; `tokens`.
    """
    import torch

    torch.set_num_threads(1)
    language = FactLanguage(text.text for text in world.list_all())
    first = _encode(language, world.list_first())
    trainer = _teach(config, world, len(language), first, scratch)
    texts = ARMS[arm](world)
    told = [_encode(language, some) for some in texts]
    tokens = NUM_STYLES * sum(len(language.encode(tell(p, 0)).tokens) for p in world.asked)
    budget = int(tokens * (1 + config.replay_frac))
    stream = _mixed(_rounds(told, world.seed), first, config.replay_frac, world.seed)
    _train(config, trainer, stream, budget, config.batch_size)
    every = [document for some in told for document in some]
    asked = _find_right(trainer, _encode(language, list_questions(world.asked)))
    return {
        "arm": arm,
        "seed": world.seed,
        "question": _share(asked),
        "own_wording": _share(_find_right(trainer, every)),
        "taught": _share(_find_right(trainer, _encode(language, list_questions(world.taught)))),
        **_weigh_stated(world, texts, asked),
        "texts": tokens / mean(len(document.tokens) for document in every) / len(told),
        "tokens": budget,
    }


def _encode(language: FactLanguage, texts: Sequence[Text]) -> list[FactDocument]:
    return [language.encode(text) for text in texts]


def _teach(
    config: RephrasingAblation,
    world: World,
    vocabulary: int,
    first: Sequence[FactDocument],
    scratch: Path,
) -> "Trainer":
    """The model that knows the language, trained or, where an earlier arm did it, read."""
    from k2core.engines.learner import below
    from k2core.engines.megatron.trainer import Trainer

    shape = config.shape.model_copy(update={"vocab_size": vocabulary})
    trainer = Trainer(shape, config.optim, seed=world.seed)
    base = scratch / f"base-{name_result(config, world, next(iter(ARMS)))}"
    if not (base / "done").exists():
        _train(config, trainer, _shuffled(first, world.seed), config.base_tokens, config.base_batch)
        trainer.save(below(base))
        (base / "done").touch()
    trainer.load(base.joinpath)
    return trainer


def _weigh_stated(
    world: World, texts: Sequence[Sequence[Text]], asked: Sequence[Sequence[bool]]
) -> dict[str, float]:
    """What the texts state of the facts, and how many of these facts were told when asked."""
    found = [[find_stated(*text) for text in some] for some in texts]
    facts = [(place, kind) for place, person in enumerate(world.asked) for kind in person.facts]
    reached = [any(kind in stated for stated in found[place]) for place, kind in facts]
    right = [all(some) for some, reach in zip(asked, reached, strict=True) if reach]
    return {
        "stated": mean(kind in stated for place, kind in facts for stated in found[place]),
        "reach": mean(reached),
        "question_stated": mean(right),
    }


def _shuffled(documents: Sequence[FactDocument], seed: int) -> Iterator[FactDocument]:
    """Endless: epoch after epoch, each in an order of its own."""
    rng = random.Random(f"order {seed}")
    while True:
        yield from rng.sample(documents, len(documents))


def _rounds(told: Sequence[Sequence[FactDocument]], seed: int) -> Iterator[FactDocument]:
    """Endless: a round reads one document of every person, in an order of its own.

    Rewrites are shorter or longer than the raw document. Where the tokens are spent, nobody was
    read about more than once more than another.
    """
    rng = random.Random(f"order {seed}")
    turns = [rng.sample(some, len(some)) for some in told]
    for number in itertools.count():
        yield from rng.sample([some[number % len(some)] for some in turns], len(turns))


def _mixed(
    new: Iterator[FactDocument], first: Sequence[FactDocument], share: float, seed: int
) -> Iterator[FactDocument]:
    """`new` with as many tokens of `first` as `share` says, spread evenly."""
    old, owed = _shuffled(first, seed + 1), 0.0
    for document in new:
        yield document
        owed += share * len(document.tokens)
        while owed > 0:
            yield (replayed := next(old))
            owed -= len(replayed.tokens)


def _train(
    config: RephrasingAblation,
    trainer: "Trainer",
    stream: Iterator[FactDocument],
    tokens: int,
    rows: int,
) -> None:
    steps = max(1, tokens // (rows * config.sequence_length))
    schedule = config.schedule.model_copy(update={"num_steps": steps})
    for step in range(steps):
        batch = _pack(stream, rows, config.sequence_length)
        trainer.step(batch, learning_rate(step, config.optim.lr, schedule))


def _pack(stream: Iterator[FactDocument], rows: int, width: int) -> "Batch":
    """Whole documents side by side, cut at the row's end; attention stays within each."""
    import torch

    from k2core.engines.megatron.batch import Batch

    tokens = torch.zeros(rows, width + 1, dtype=torch.int64)
    segments = torch.zeros(rows, width + 1, dtype=torch.int64)
    for row in range(rows):
        used = number = 0
        while used <= width:
            document = next(stream).tokens[: width + 1 - used]
            tokens[row, used : used + len(document)] = torch.tensor(document)
            segments[row, used : used + len(document)] = number
            used, number = used + len(document), number + 1
    within = segments[:, :-1] == segments[:, 1:]
    return Batch(tokens[:, :-1], tokens[:, 1:], within.float(), segments[:, :-1])


def _find_right(trainer: "Trainer", documents: Sequence[FactDocument]) -> list[list[bool]]:
    """Of each document's values, whether it is the likeliest next word where it stands."""
    import torch

    right: list[list[bool]] = [[] for _ in documents]
    by_length: dict[int, list[int]] = {}
    for place, document in enumerate(documents):
        by_length.setdefault(len(document.tokens), []).append(place)
    for group in by_length.values():
        for start in range(0, len(group), 256):
            part = group[start : start + 256]
            tokens = torch.tensor([documents[place].tokens for place in part])
            best = trainer.logits(tokens).argmax(-1)
            for row, place in enumerate(part):
                told, answers = documents[place]
                right[place] = [int(best[row, at - 1]) == told[at] for at in answers]
    return right


def _share(right: Sequence[Sequence[bool]]) -> float:
    return mean(value for some in right for value in some)


def tabulate_arms(results: Sequence[Result]) -> str:
    """Markdown: mean and standard deviation over the seeds, in percent."""
    lines = [
        f"| arm | {' | '.join(_MEASURES.values())} | texts a person | seeds | tokens |",
        "|---" * (len(_MEASURES) + 4) + "|",
    ]
    for arm in ARMS:
        rows = [result for result in results if result["arm"] == arm]
        cells = [_mean_and_spread([row[measure] for row in rows]) for measure in _MEASURES]
        texts, tokens = (mean(row[name] for row in rows) for name in ("texts", "tokens"))
        lines.append(f"| {arm} | {' | '.join(cells)} | {texts:.1f} | {len(rows)} | {tokens:,.0f} |")
    return "\n".join(lines)


def draw_arms(results: Sequence[Result]) -> "Figure":
    """Bars of the means, a dot a seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for place, measure in enumerate(("question", "own_wording", "stated")):
        for number, arm in enumerate(ARMS):
            values = [100 * r[measure] for r in results if r["arm"] == arm]
            at = number + 0.28 * place
            axes.bar(
                at, mean(values), 0.26, color=f"C{place}", alpha=0.6,
                label=None if number else _MEASURES[measure],
            )  # fmt: skip
            axes.plot([at] * len(values), values, "k.", markersize=4)
    axes.axhline(5, color="grey", linestyle=":", label="chance")
    names = [arm.replace(" x", "\nx").replace(", ", ",\n") for arm in ARMS]
    axes.set_xticks([n + 0.28 for n in range(len(ARMS))], names)
    axes.set_ylabel("facts, %")
    figure.legend(loc="outside upper center", ncols=4)
    return figure


_MEASURES = {
    "question": "asked by a question",
    "own_wording": "its own wording",
    "taught": "first people",
    "stated": "stated in a text",
    "reach": "in any text",
    "question_stated": "asked, of those in any",
}


def _mean_and_spread(shares: Sequence[float]) -> str:
    """One seed has no spread."""
    spread = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.1f}{spread}"
