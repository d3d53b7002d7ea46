"""Chunk-wise autoregressive rewriting (arXiv:2507.20534, figure 4): in order, context kept."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from k2core.engines.protocol import Decoding, StreamingEngine
from k2core.rephrase.chunks import split_chunks, split_heading, split_sections
from k2core.rephrase.editor import EditedWords, Editor, FirstDraft, GateEditor, Written
from k2core.rephrase.styles import RewriteJob
from schemas.rephrase import RephraseConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Rewriting(NamedTuple):
    """What the model wrote for one document."""

    text: str
    """The rewritten chunks, stitched."""
    num_chunks: int
    num_tokens: int
    """Tokens that were written, in all drafts."""
    cut: bool
    """Whether a chunk's rewrite was ended by its limit."""
    by_model: int = 0
    """Words that the model put so."""
    by_source: int = 0
    """Words of sentences that stayed as they were."""


def make_turns(instruction: str, shown: str, chunk: str) -> list[tuple[str, str]]:
    """Roles and texts of the chat that asks for a chunk, after what was rewritten before."""
    before = [("user", instruction), ("assistant", shown)] if shown else []
    return [*before, ("user", f"{instruction}\n\n{chunk}")]


def seed_of(config: RephraseConfig, request: "ChunkRequest") -> int:
    """Seed of a draft of a document's chunk in a style."""
    job, draft = request.job, f"\0{request.draft}" if request.draft else ""
    name = f"{config.seed}\0{job.document.doc_id}\0{job.style.prompt_id}\0{request.number}{draft}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def room_for(config: RephraseConfig, num_tokens: int) -> int:
    """Tokens that the rewrite of a chunk of so many may take."""
    return 16 + int(num_tokens * config.max_growth)


class ChunkRequest(NamedTuple):
    """A chunk to rewrite."""

    job: RewriteJob
    number: int
    """Of the chunk in its document."""
    context: str
    """What was rewritten before it."""
    chunk: str
    draft: int = 0
    """The first is written at the config's temperature, others at `draft_temperature`."""


class WrittenChunk(NamedTuple):
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

    def write(self, requests: Sequence[ChunkRequest]) -> Iterator[WrittenChunk]:
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

    def sampling(self, request: ChunkRequest) -> Decoding:
        """How a chunk is continued; the seed depends on document, style, chunk and draft alone."""
        config = self._config
        return Decoding(
            max_tokens=room_for(config, self.count(request.chunk)),
            temperature=config.draft_temperature if request.draft else config.temperature,
            top_p=config.top_p,
            seed=seed_of(config, request),
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

    def write(self, requests: Sequence[ChunkRequest]) -> Iterator[WrittenChunk]:
        """Answer all in one batch; yields each when it is finished."""
        prompter = self._prompter
        prompts = [prompter.prompt(r.job.style.instruction, r.context, r.chunk) for r in requests]
        sampling = [prompter.sampling(request) for request in requests]
        for index, said in self._engine.stream(prompts, sampling):
            cut = said.finish_reason == "length"
            yield WrittenChunk(index, prompter.text(said.token_ids), len(said.token_ids), cut)

    def close(self) -> None:
        """Stop serving."""
        self._engine.close()


class Chunk(NamedTuple):
    """Part of a document that is rewritten at once."""

    text: str
    before: str
    """What stands before its rewrite: what parts it from the chunk before, and its heading."""


def cut_text(text: str, chunk_tokens: int, count: Callable[[str], int]) -> list[Chunk]:
    """The chunks in which a document is rewritten.

    A section's first chunk starts after an empty line, so that the stitched text has the source's
    sections; the context goes over their ends. A heading stays as it is: asked to rewrite it with
    its text, a small model says it twice or leaves it out.
    """
    chunks: list[Chunk] = []
    for section in split_sections(text):
        heading, body = split_heading(section)
        parted, headed = "\n\n" if chunks else "", f"{heading}\n\n" if heading else ""
        for at, chunk in enumerate(split_chunks(body, chunk_tokens, count)):
            chunks.append(Chunk(chunk, "\n" if at else parted + headed))
    return chunks


class Finished(NamedTuple):
    """A document whose last chunk has just been written."""

    place: int
    """Of the document among those that are rewritten side by side."""
    rewriting: Rewriting


Watch = Callable[[float], None]
"""Told how many of the documents that are rewritten side by side are written, by the time it takes:
the last chunks of the longest take as long as the first ones of all."""


def unwatched(written: float) -> None:
    """Where nobody looks."""


def rewrite_together(
    jobs: Sequence[RewriteJob],
    writer: Writer,
    chunk_tokens: int,
    watch: Watch = unwatched,
    editor: Editor | None = None,
    num_drafts: int = 1,
) -> Iterator[Finished]:
    """Rewrite documents side by side: the first chunks of all, then the second ones, and so on.

    Args:
        jobs: the documents.
        writer: who writes their chunks.
        chunk_tokens: size of a chunk.
        watch: told how far it is.
        editor: who makes a chunk's text of its drafts; by default the first one stands.
        num_drafts: of each chunk.

    Yields:
        Each document as soon as its last chunk is there, while others are still being written.
    """
    editor = editor or FirstDraft()
    chunks = [cut_text(job.document.text, chunk_tokens, writer.count) for job in jobs]
    written = [Rewriting("", len(parts), 0, cut=False) for parts in chunks]
    lengths = [[writer.count(chunk.text) for chunk in parts] for parts in chunks]
    before = 0.0
    for number, documents in enumerate(weigh_rounds(lengths)):
        turn = [index for index, parts in enumerate(chunks) if number < len(parts)]
        requests = [
            ChunkRequest(jobs[i], number, written[i].text, chunks[i][number].text, draft)
            for i in turn
            for draft in range(num_drafts)
        ]
        tokens = [lengths[i][number] for i in turn for _ in range(num_drafts)]
        batch = WritingBatch(documents, tokens)
        drafts: dict[int, dict[int, WrittenChunk]] = {index: {} for index in turn}
        for answer in writer.write(requests):
            watch(before + batch.finish(answer))
            index = turn[answer.place // num_drafts]
            drafts[index][answer.place % num_drafts] = answer
            if len(drafts[index]) < num_drafts:
                continue
            answers = [drafts[index][draft] for draft in range(num_drafts)]
            written[index] = _append(written[index], chunks[index][number], answers, editor)
            if number + 1 == len(chunks[index]):
                yield Finished(index, written[index])
        before += documents


def rewrite_with(
    config: RephraseConfig, jobs: Sequence[RewriteJob], writer: Writer, watch: Watch = unwatched
) -> Iterator[Finished]:
    """Rewrite documents side by side with the config's sizes, drafts and editor."""
    editor = GateEditor(config.fidelity) if config.repair else FirstDraft()
    return rewrite_together(jobs, writer, config.chunk_tokens, watch, editor, config.drafts)


def weigh_rounds(lengths: Sequence[Sequence[int]]) -> list[float]:
    """Round by round (first chunks, second ones, ...) what part of the time it takes.

    Chunks of a round are written in step, so that it takes as long as its longest one.

    Args:
        lengths: tokens of each document's chunks.

    Returns:
        In documents, all of them in sum; nothing where there is no chunk.
    """
    rounds = range(max(map(len, lengths), default=0))
    longest = [max(parts[n] for parts in lengths if n < len(parts)) for n in rounds]
    return [len(lengths) * each / max(1, sum(longest)) for each in longest]


class WritingBatch:
    """How much of chunks that are written in step is there, judged by those that are finished.

    Chunks of a batch end nearly together: when the first ends, the others are as long as it, and
    a rewrite is about as long as its source.

    Args:
        documents: what all of it counts for.
        num_tokens: a chunk's.
    """

    def __init__(self, documents: float, num_tokens: Sequence[int]) -> None:
        self._documents, self._num_tokens = documents, num_tokens
        self._open = set(range(len(num_tokens)))

    def finish(self, answer: WrittenChunk) -> float:
        """Documents written in this batch when a chunk has just been finished."""
        self._open.discard(answer.place)
        done = sum(
            min(1.0, answer.num_tokens / max(1, tokens)) if place in self._open else 1.0
            for place, tokens in enumerate(self._num_tokens)
        )
        return self._documents * done / len(self._num_tokens)


def _append(
    begun: Rewriting, chunk: Chunk, answers: Sequence[WrittenChunk], editor: Editor
) -> Rewriting:
    edited = editor.edit(chunk.text, [Written(answer.text, answer.cut) for answer in answers])
    wording = EditedWords(begun.by_model, begun.by_source).plus(edited.wording)
    return begun._replace(
        text=begun.text + chunk.before + edited.text,
        num_tokens=begun.num_tokens + sum(answer.num_tokens for answer in answers),
        cut=begun.cut or edited.cut,
        **wording._asdict(),
    )
