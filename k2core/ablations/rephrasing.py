"""Table 1 of the report in miniature: repeat a text, or rewrite it? (arXiv:2507.20534, 2.2).

A small K2-shaped model first learns the language from other people (their documents in all styles,
and questions about them). Then it reads about the people it will be asked about: the raw document
10 times, one rewrite 10 times, or ten rewrites once each, for as many tokens in every arm, with
the same share of the first text mixed in so that it does not forget what a question is. Asked are
questions, whose wording was never used of these people.
"""

import random
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k2core.ablations.facts import NUM_STYLES, QUESTIONS, Document, Language, Person, make_people
from k2core.optim.schedule import learning_rate
from schemas.ablations import RephrasingAblation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from k2core.engines.megatron.batch import Batch
    from k2core.engines.megatron.trainer import Trainer

ARMS = {"raw x 10": (0,), "1 rewrite x 10": (1,), "10 rewrites x 1": tuple(range(1, 11))}
"""Styles of the document that an arm reads."""


def run_arm(config: RephrasingAblation, arm: str, seed: int, scratch: Path) -> dict[str, Any]:
    """Train and ask one arm; the model that knows the language is made once a seed.

    Returns:
        `question` and `own_wording`: shares of the facts told, when asked, and when the arm's own
        training text is begun; `taught`: of questions about people of the first stage; `tokens`.
    """
    import torch

    from k2core.engines.megatron.trainer import Trainer

    torch.set_num_threads(1)
    people = make_people(config.num_taught + config.num_asked, seed)
    taught, asked = people[: config.num_taught], people[config.num_taught :]
    language = Language(len(people))
    shape = config.shape.model_copy(update={"vocab_size": len(language)})
    trainer = Trainer(shape, config.optim, seed=seed)
    first = _first_texts(language, taught)
    base = scratch / f"base-{seed}"
    if not (base / "done").exists():
        _train(config, trainer, _shuffled(first, seed), config.base_tokens, config.base_batch)
        trainer.save(base)
        (base / "done").touch()
    trainer.load(base)
    told = [language.tell(person, style) for person in asked for style in ARMS[arm]]
    raw_tokens = sum(len(language.tell(person, 0).tokens) for person in asked)
    budget = int(NUM_STYLES * raw_tokens * (1 + config.replay_frac))
    stream = _mixed(told, first, config.replay_frac, seed)
    _train(config, trainer, stream, budget, config.batch_size)
    return {
        "arm": arm,
        "seed": seed,
        "question": _share_told(trainer, _questions(language, asked)),
        "own_wording": _share_told(trainer, told),
        "taught": _share_told(trainer, _questions(language, taught)),
        "tokens": budget,
    }


def _questions(language: Language, people: Sequence[Person]) -> list[Document]:
    return [language.ask(person, kind) for person in people for kind in QUESTIONS]


def _first_texts(language: Language, people: Sequence[Person]) -> list[Document]:
    styles = range(NUM_STYLES + 1)
    told = [language.tell(person, style) for person in people for style in styles]
    return told + _questions(language, people) * 2


def _shuffled(documents: Sequence[Document], seed: int) -> Iterator[Document]:
    """Endless: epoch after epoch, each in an order of its own."""
    rng = random.Random(f"order {seed}")
    while True:
        yield from rng.sample(documents, len(documents))


def _mixed(
    told: Sequence[Document], first: Sequence[Document], share: float, seed: int
) -> Iterator[Document]:
    """`told` with as many tokens of `first` as `share` says, spread evenly."""
    new, old, owed = _shuffled(told, seed), _shuffled(first, seed + 1), 0.0
    for document in new:
        yield document
        owed += share * len(document.tokens)
        while owed > 0:
            yield (replayed := next(old))
            owed -= len(replayed.tokens)


def _train(
    config: RephrasingAblation,
    trainer: "Trainer",
    stream: Iterator[Document],
    tokens: int,
    rows: int,
) -> None:
    steps = max(1, tokens // (rows * config.sequence_length))
    schedule = config.schedule.model_copy(update={"num_steps": steps})
    for step in range(steps):
        batch = _pack(stream, rows, config.sequence_length)
        trainer.step(batch, learning_rate(step, config.optim.lr, schedule))


def _pack(stream: Iterator[Document], rows: int, width: int) -> "Batch":
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


def _share_told(trainer: "Trainer", documents: Sequence[Document]) -> float:
    """Share of the values that are the likeliest next word where they stand."""
    import torch

    right = asked = 0
    by_length: dict[int, list[Document]] = {}
    for document in documents:
        by_length.setdefault(len(document.tokens), []).append(document)
    for group in by_length.values():
        for start in range(0, len(group), 256):
            part = group[start : start + 256]
            tokens = torch.tensor([document.tokens for document in part])
            best = trainer.logits(tokens).argmax(-1)
            for row, document in enumerate(part):
                right += sum(int(best[row, a - 1]) == document.tokens[a] for a in document.answers)
                asked += len(document.answers)
    return right / asked


def tabulate_arms(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: mean and standard deviation over the seeds, in percent."""
    lines = [
        "| arm | asked by a question | its own wording | first people | seeds | tokens |",
        "|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        rows = [result for result in results if result["arm"] == arm]
        cells = [_mean_and_spread([r[m] for r in rows]) for m in _MEASURES]
        tokens = sum(r["tokens"] for r in rows) // len(rows)
        lines.append(f"| {arm} | {' | '.join(cells)} | {len(rows)} | {tokens:,} |")
    return "\n".join(lines)


def draw_arms(results: Sequence[dict[str, Any]]) -> "Figure":
    """Bars of the means, a dot a seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for place, measure in enumerate(_MEASURES[:2]):
        for number, arm in enumerate(ARMS):
            values = [100 * r[measure] for r in results if r["arm"] == arm]
            at = number + 0.4 * place
            label = {"question": "asked by a question", "own_wording": "its own wording"}[measure]
            axes.bar(
                at, statistics.mean(values), 0.38, color=f"C{place}", alpha=0.6,
                label=None if number else label,
            )  # fmt: skip
            axes.plot([at] * len(values), values, "k.", markersize=4)
    axes.axhline(5, color="grey", linestyle=":", label="chance")
    axes.set_xticks([n + 0.2 for n in range(len(ARMS))], list(ARMS))
    axes.set_ylabel("facts told, %")
    axes.legend()
    return figure


_MEASURES = ("question", "own_wording", "taught")


def _mean_and_spread(shares: Sequence[float]) -> str:
    spread = statistics.stdev(shares) if len(shares) > 1 else 0.0
    return f"{100 * statistics.mean(shares):.1f} ± {100 * spread:.1f}"
