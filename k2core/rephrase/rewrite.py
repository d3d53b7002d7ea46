"""Chunk-wise autoregressive rewriting (arXiv:2507.20534, figure 4): in order, context kept."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from k2core.engines.protocol import Sampling, StreamingEngine
from k2core.rephrase.chunks import split_chunks, split_sections
from k2core.rephrase.styles import Job
from schemas.rephrase import RephraseConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Rewriting(NamedTuple):
    """What the model wrote for one document."""

    text: str
    """The rewritten chunks, stitched."""
    num_chunks: int
    num_tokens: int
    """Tokens that were written."""
    cut: bool
    """Whether a chunk's rewrite was ended by its limit."""


def make_turns(instruction: str, shown: str, chunk: str) -> list[tuple[str, str]]:
    """Roles and texts of the chat that asks for a chunk, after what was rewritten before."""
    before = [("user", instruction), ("assistant", shown)] if shown else []
    return [*before, ("user", f"{instruction}\n\n{chunk}")]


def seed_of(config: RephraseConfig, job: Job, number: int) -> int:
    """Seed of a document's `number`-th chunk in a style."""
    name = f"{config.seed}\0{job.document.doc_id}\0{job.style.prompt_id}\0{number}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def room_for(config: RephraseConfig, num_tokens: int) -> int:
    """Tokens that the rewrite of a chunk of so many may take."""
    return 16 + int(num_tokens * config.max_growth)


class Request(NamedTuple):
    """A chunk to rewrite."""

    job: Job
    number: int
    """Of the chunk in its document."""
    context: str
    """What was rewritten before it."""
    chunk: str


class Answer(NamedTuple):
    """A rewritten chunk."""

    place: int
    """Of its request among those that were made together."""
    text: str
    num_tokens: int
    cut: bool
    """Whether it was ended by its limit."""


class Writer(Protocol):
    """Who rewrites: engines served here, or an endpoint."""

    @property
    def name(self) -> str:
        """Digest of the weights, or where the endpoint is."""

    def count(self, text: str) -> int:
        """Tokens of a text."""

    def write(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Rewrite chunks of different documents together; yields each when it is finished."""

    def close(self) -> None:
        """Free what was held."""


class Prompter:
    """Prompts and texts in a model's own tokens.

    Args:
        folder: the model, whose tokenizer must have a chat template.
        config: sizes and sampling.
    """

    def __init__(self, folder: Path, config: RephraseConfig) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
        if not self._tokenizer.chat_template:
            raise ValueError(
                f"rephrase.model: {folder} has no chat template; take an instruct model"
            )
        self._config = config
        self.stop_token_ids = (int(self._tokenizer.eos_token_id),)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt(self, instruction: str, context: str, chunk: str) -> list[int]:
        """The chat that asks for one chunk; what was rewritten before it is the turn before.

        Short instructions next to the text: a model of 135 M parameters keeps to the facts three
        times as often as with a system prompt of rules (docs/log.md).
        """
        limit = self._config.context_tokens
        ids = self._tokenizer(context, add_special_tokens=False)["input_ids"]
        shown = str(self._tokenizer.decode(ids[-limit:])) if limit else ""
        chat = [
            {"role": role, "content": text} for role, text in make_turns(instruction, shown, chunk)
        ]
        found: Any = self._tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return list(found)

    def sampling(self, job: Job, number: int, chunk: str) -> Sampling:
        """How the `number`-th chunk is continued; its seed depends on nothing else."""
        return Sampling(
            max_tokens=room_for(self._config, self.count(chunk)),
            temperature=self._config.temperature,
            top_p=self._config.top_p,
            seed=seed_of(self._config, job, number),
            stop_token_ids=self.stop_token_ids,
        )

    def text(self, token_ids: Sequence[int]) -> str:
        """The words of an answer."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()


class EngineWriter:
    """Writes with an engine that takes tokens; implements `Writer`.

    Args:
        engine: the model, served.
        prompter: its prompts.
    """

    def __init__(self, engine: StreamingEngine, prompter: Prompter) -> None:
        self._engine, self._prompter = engine, prompter
        self.count = prompter.count

    @property
    def name(self) -> str:
        """Digest of the weights."""
        return self._engine.weights

    def write(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Answer all in one batch; yields each when it is finished."""
        prompter = self._prompter
        prompts = [prompter.prompt(r.job.style.instruction, r.context, r.chunk) for r in requests]
        sampling = [prompter.sampling(r.job, r.number, r.chunk) for r in requests]
        for index, said in self._engine.stream(prompts, sampling):
            cut = said.finish_reason == "length"
            yield Answer(index, prompter.text(said.token_ids), len(said.token_ids), cut)

    def close(self) -> None:
        """Stop serving."""
        self._engine.close()


class Chunk(NamedTuple):
    """Part of a document that is rewritten at once."""

    text: str
    between: str
    """What stands before its rewrite, unless it is the first."""


def cut_text(text: str, chunk_tokens: int, count: Callable[[str], int]) -> list[Chunk]:
    """The chunks in which a document is rewritten.

    A section's first chunk starts after an empty line, so that the stitched text has the source's
    sections; the context goes over their ends.
    """
    return [
        Chunk(chunk, "\n\n" if number and not at else "\n")
        for number, section in enumerate(split_sections(text))
        for at, chunk in enumerate(split_chunks(section, chunk_tokens, count))
    ]


class Finished(NamedTuple):
    """A document whose last chunk has just been written."""

    place: int
    """Of the document among those that are rewritten side by side."""
    rewriting: Rewriting


Watch = Callable[[float], None]
"""Told how many of the documents that are rewritten side by side are written, parts of them too."""


def unwatched(written: float) -> None:
    """Where nobody looks."""


def rewrite_together(
    jobs: Sequence[Job], writer: Writer, chunk_tokens: int, watch: Watch = unwatched
) -> Iterator[Finished]:
    """Rewrite documents side by side: the first chunks of all, then the second ones, and so on.

    Yields:
        Each document as soon as its last chunk is there, while others are still being written.
    """
    chunks = [cut_text(job.document.text, chunk_tokens, writer.count) for job in jobs]
    written = [Rewriting("", len(parts), 0, cut=False) for parts in chunks]
    before = float(sum(not parts for parts in chunks))
    for number in range(max(map(len, chunks), default=0)):
        turn = [index for index, parts in enumerate(chunks) if number < len(parts)]
        requests = [Request(jobs[i], number, written[i].text, chunks[i][number].text) for i in turn]
        shares = [
            len(r.chunk) / sum(len(part.text) for part in chunks[i])
            for i, r in zip(turn, requests, strict=True)
        ]
        batch = Batch(shares, [writer.count(request.chunk) for request in requests])
        for answer in writer.write(requests):
            watch(before + batch.finish(answer))
            index = turn[answer.place]
            written[index] = _append(written[index], chunks[index][number], answer)
            if number + 1 == len(chunks[index]):
                yield Finished(index, written[index])
        before += sum(shares)


class Batch:
    """How much of chunks that are written in step is there, judged by those that are finished.

    Chunks of a batch end nearly together: when the first ends, the others are as long as it, and
    a rewrite is about as long as its source.

    Args:
        shares: a chunk's, of its document.
        num_tokens: a chunk's.
    """

    def __init__(self, shares: Sequence[float], num_tokens: Sequence[int]) -> None:
        self._shares, self._num_tokens = shares, num_tokens
        self._open = set(range(len(shares)))

    def finish(self, answer: Answer) -> float:
        """Documents written in this batch when a chunk has just been finished."""
        self._open.discard(answer.place)
        return sum(
            share * (min(1.0, answer.num_tokens / max(1, tokens)) if place in self._open else 1.0)
            for place, (share, tokens) in enumerate(
                zip(self._shares, self._num_tokens, strict=True)
            )
        )


def _append(begun: Rewriting, chunk: Chunk, answer: Answer) -> Rewriting:
    between = chunk.between if begun.text else ""
    return begun._replace(
        text=begun.text + between + answer.text,
        num_tokens=begun.num_tokens + answer.num_tokens,
        cut=begun.cut or answer.cut,
    )
