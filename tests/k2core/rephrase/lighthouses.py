"""Documents about lighthouses, their faithful rewrites, and an engine that writes those."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from k2core.engines.protocol import Decoding
from k2core.engines.scripted import ScriptedEngine
from k2core.store import Draft, Store
from k2core.tables import write_shard
from schemas.artifacts import CleanCorpus
from schemas.corpus import Document
from schemas.rephrase import RephraseConfig

PLACES = ("Hanstholm", "Westerhever", "Vinga", "Arkona", "Skomvaer", "Blaavand", "Utsira", "Faro")
_SENTENCES = (
    "The lighthouse at {place} was built in {year} by Danish engineers, after many wrecks. ",
    "It stands on a chalk cliff, {high} metres above the sea, and fishermen steer by its lamp. ",
    "Keepers lived beside the tower with their families for a whole century.",
)
_REWRITES = (
    "In {year}, when many ships had been wrecked, Danish engineers built {place}'s lighthouse. ",
    "Its lamp guides fishermen from a cliff of chalk that is {high} metres above the sea. ",
    "For a whole century families of keepers lived next to the tower.",
)


def original(number: int) -> str:
    return "".join(_SENTENCES).format(**_facts(number))


def faithful(number: int) -> str:
    return "".join(_REWRITES).format(**_facts(number))


def _facts(number: int) -> dict[str, object]:
    return {"place": PLACES[number], "year": 1843 + number, "high": 65 + number}


def publish_clean(store: Store, count: int = len(PLACES), shard_documents: int = 3) -> CleanCorpus:
    """Documents `d0`, `d1`, ... of one source, and another source that none is from."""
    workspace = store.workspace(f"clean{count}/{shard_documents}")
    rows = [_document(number) for number in range(count)]
    for first in range(0, count, shard_documents):
        path = workspace.out / "kept" / f"{first:05d}.parquet"
        write_shard(path, Document, rows[first : first + shard_documents])
    about = {"sea": {"license": "CC-BY-SA-4.0"}, "unused": {"license": "MIT"}}
    (workspace.out / "sources.json").write_text(json.dumps(about))
    return store.publish(CleanCorpus, Draft(workspace.out, {}))


def _document(number: int) -> dict[str, str]:
    text = original(number)
    return {
        "doc_id": hashlib.sha256(f"d{number}".encode()).hexdigest()[:16],
        "source": "sea",
        "path": f"d{number}",
        "domain": "knowledge",
        "format": "text",
        "license": "CC-BY-SA-4.0",
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "text": text,
    }


def config_for(rephraser: Path, **changes: Any) -> RephraseConfig:
    """Six documents in groups of two, a chunk each, as it is written; tokens are bytes."""
    values = {
        "model": str(rephraser),
        "documents": {"knowledge": 6},
        "chunk_tokens": 400,
        "max_model_len": 1500,
        "documents_together": 2,
        "drafts": 1,
        "repair": False,
        "max_tokens_spent": 100_000,
    }
    return RephraseConfig.model_validate(values | changes)


class Writer(ScriptedEngine):
    """Answers a prompt that shows a known text with what is given for it, in bytes as tokens.

    Args:
        folder: the tokenizer.
        answers: original -> rewrite; by default all of them, faithful.
        max_answers: goes down when it is asked for one more.
    """

    def __init__(
        self, folder: Path, answers: dict[str, str] | None = None, max_answers: int = 999
    ) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.sampling: list[Decoding] = []
        self._answers = answers or {original(n): faithful(n) for n in range(len(PLACES))}
        self._answers_left = max_answers
        super().__init__(self._write)

    @property
    def asked(self) -> list[str]:
        """The prompts so far, as text."""
        return [str(self.tokenizer.decode(prompt)) for prompt in self.prompts]

    def go_down(self) -> None:
        """What happens at the end of the answers."""
        raise ConnectionError("the engine is gone")

    def _write(self, prompt: list[int], how: Decoding) -> list[int]:
        if not self._answers_left:
            self.go_down()
        self._answers_left -= 1
        self.sampling.append(how)
        shown = str(self.tokenizer.decode(prompt)).rpartition("\n\n")[2]
        answer = next(said for text, said in self._answers.items() if text in shown)
        return [*self.tokenizer.encode(answer), *how.stop_token_ids]


def read_folder(folder: Path) -> list[dict[str, Any]]:
    return pl.concat(
        [pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    ).to_dicts()
