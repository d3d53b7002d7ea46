"""How much of what is asked stood in what was trained on, by runs of words (arXiv:2005.14165, C).

An item is met where a text holds one of its runs of `overlap_ngram` tokens; of a shorter item, all
of it. Runs that many items of a suite share are its wording, and count for none.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from k2core.agents.endpoint import ChatModel
from k2core.chat import ChatCodec
from k2core.evaluate.conditions import PLAIN
from k2core.problems import variant_of
from k2core.sandbox import Sandbox
from k2core.tables import list_shards, read_shard
from k2core.tokens.parts import PartedTokens, read_manifest
from schemas.benchmarks import BenchmarkConfig
from schemas.chat import Message, Problem, TrajectoryRow
from schemas.endpoint import Endpoint
from schemas.evaluate import EvaluateConfig, Overlaps, SuiteOverlap

OWN = "own families"
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SHORTEST = 5
"""Tokens of the shortest text that can be said to be met."""
_WORDING = 8
"""Most items of a suite that share a run which still tells one of them."""
_MESSAGES = TypeAdapter(tuple[Message, ...])
Run = tuple[str, ...]


class AskedItem(NamedTuple):
    """One thing that is asked."""

    suite: str
    text: str
    answer: str = ""
    """What is expected, as JSON; empty where no trajectory could state it."""


class WordIndex:
    """Runs of words that give items away."""

    def __init__(self, items: Sequence[AskedItem], ngram: int) -> None:
        shared: Counter[tuple[str, Run]] = Counter()
        found: dict[int, set[Run]] = {}
        for number, item in enumerate(items):
            tokens = split(item.text)
            if len(tokens) >= _SHORTEST:
                found[number] = set(list_runs(tokens, min(len(tokens), ngram)))
                shared.update((item.suite, run) for run in found[number])
        self.known = frozenset(found)
        """Items that are long enough."""
        self._by_start: dict[Run, dict[Run, list[int]]] = defaultdict(dict)
        for number, runs in found.items():
            for run in runs:
                if shared[items[number].suite, run] <= _WORDING:
                    self._by_start[run[:_SHORTEST]].setdefault(run, []).append(number)

    def meet(self, text: str) -> set[int]:
        """The items that a text gives away."""
        tokens, met = split(text), set[int]()
        for place, start in enumerate(list_runs(tokens, _SHORTEST)):
            for run, numbers in self._by_start.get(start, {}).items():
                if tuple(tokens[place : place + len(run)]) == run:
                    met.update(numbers)
        return met


def measure_overlap(
    config: EvaluateConfig,
    problems: Sequence[Problem],
    corpus: Path,
    trajectories: Path,
    codec: ChatCodec,
) -> Overlaps:
    """Hold every item of our families and of the public suites against both kinds of training data.

    Args:
        config: how long a run is, and how much text is read.
        problems: what the checkpoints are asked.
        corpus: of tokens to train on.
        trajectories: of dialogues to train on.
        codec: reads the tokens.
    """
    items = [*own_items(problems), *public_items(config.overlap_suites)]
    index = WordIndex(items, config.overlap_ngram)
    read, texts = Counter[str](), set[int]()
    for domain, text in corpus_texts(corpus, codec, config.overlap_tokens, read):
        texts |= index.meet(f"{domain}\n{text}")
    asked: dict[str, set[str]] = defaultdict(set)
    dialogues = set[int]()
    for problem, text in dialogue_texts(trajectories):
        dialogues |= index.meet(text)
        asked[question_of(problem)].add(answer_of(problem))
    answered = {n for n, item in enumerate(items) if item.answer in asked.get(item.text, ())}
    return Overlaps(
        ngram=config.overlap_ngram,
        tokens_read=read.total(),
        suites=_count(items, index, texts, dialogues, answered),
    )


def _count(
    items: Sequence[AskedItem],
    index: WordIndex,
    texts: set[int],
    dialogues: set[int],
    answered: set[int],
) -> dict[str, SuiteOverlap]:
    suites: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        if number in index.known:
            suites[item.suite].append(number)
    return {
        suite: SuiteOverlap(
            items=len(numbers),
            text=len(texts.intersection(numbers)),
            dialogues=len(dialogues.intersection(numbers)),
            answered=len(answered.intersection(numbers)),
        )
        for suite, numbers in suites.items()
    }


def own_items(problems: Sequence[Problem]) -> list[AskedItem]:
    """The problems that are asked plainly, a suite a family."""
    return [
        AskedItem(f"{OWN}: {p.family}", question_of(p), answer_of(p))
        for p in problems
        if variant_of(p.problem_id) == PLAIN
    ]


def public_items(names: Sequence[str]) -> list[AskedItem]:
    """All items of suites that come with packages."""
    from k2core.evaluate.suites import Bench, build_suite

    nobody = ChatModel(Endpoint(url="http://127.0.0.1:9/v1", model="nobody"))
    with Sandbox.start() as sandbox:
        bench = Bench(sandbox, nobody)
        suites = {name: build_suite(name, BenchmarkConfig(), bench) for name in names}
    return [
        AskedItem(name, sample.input if isinstance(sample.input, str) else sample.input[-1].text)
        for name, suite in suites.items()
        for sample in suite.task.dataset
    ]


def question_of(problem: Problem) -> str:
    """All that the user says."""
    said = [message.content for message in problem.messages if message.role == "user"]
    return "\n".join((*said, *problem.follow_ups))


def answer_of(problem: Problem) -> str:
    """All that decides what is right: what is expected, and the data that it is read from."""
    decides = [problem.expected, problem.state.get("data")]
    return json.dumps(decides, sort_keys=True)


def corpus_texts(
    folder: Path, codec: ChatCodec, most: int, read: Counter[str]
) -> Iterator[tuple[str, str]]:
    """Domain and text of documents to train on; of each domain the first, up to its share.

    Args:
        folder: of a token corpus.
        codec: of the same vocabulary.
        most: tokens in all.
        read: counts the tokens by domain.
    """
    manifest = read_manifest(folder)
    total = sum(about.train_tokens for about in manifest.domains.values())
    for domain, about in sorted(manifest.domains.items()):
        share = about.train_tokens * min(1.0, most / max(1, total))
        data = PartedTokens(folder, about.train_parts)
        for row in range(data.num_documents):
            if read[domain] >= share:
                break
            ids = data.read(row).tolist()
            read[domain] += len(ids)
            yield domain, codec.decode(ids)


def dialogue_texts(folder: Path) -> Iterator[tuple[Problem, str]]:
    """Each accepted trajectory's problem, and all that is said in it."""
    for shard in list_shards(folder / "accepted"):
        rows: Iterable[Mapping[str, str]] = read_shard(shard, TrajectoryRow).iter_rows(named=True)
        for row in rows:
            messages = _MESSAGES.validate_json(row["messages"])
            text = "\n".join(message.content for message in messages)
            yield Problem.model_validate_json(row["problem"]), text


def split(text: str) -> list[str]:
    """Lower-case words and single signs: without the signs 12 + 7 and 12 * 7 were the same."""
    return _TOKEN.findall(text.lower())


def list_runs(tokens: Sequence[str], n: int) -> Iterator[Run]:
    """All runs of n tokens."""
    return zip(*(tokens[start:] for start in range(n)), strict=False)
