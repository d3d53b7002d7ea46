# mypy: ignore-errors
"""datatrove's side of `bench.warc`: from WARC bytes to decisions, on one core.

    python datatrove_warc.py FOLDER RESULT.json EXTRACTOR LANGUAGE_MODEL [TEXTS.json]

FOLDER holds `crawl/*.warc.gz` and `warm/*.warc.gz`. RESULT says of each address what dropped its
page ("" nothing), and the seconds; a page that gives no text is in no file of datatrove's.
EXTRACTOR is `trafilatura`, datatrove's own, or `resiliparse`, which it does not offer. TEXTS,
address -> text, takes the place of reading and extracting.
"""

import gzip
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ["HF_ASSETS_CACHE"] = f"{sys.argv[1]}/assets"  # read when it is imported

import trafilatura  # noqa: F401 - the extractor's process is forked from this one
from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.extractors.base import BaseExtractor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.lid import FT176LID
from loguru import logger
from resiliparse.extract.html2text import extract_plain_text

_TIMEOUT = 5.0
"""Seconds a page: five times datatrove's own, since the core is shared with its other process."""


class Resiliparse(BaseExtractor):
    """Its extractor of main content, run as datatrove runs its own."""

    name = "Resiliparse"

    def __init__(self) -> None:
        """Ask for no more time than others."""
        super().__init__(_TIMEOUT)

    def extract(self, text: str) -> str:
        """The main text."""
        return extract_plain_text(text, main_content=True)


def judge(start: list, out: Path) -> None:
    """Run the pipeline; what is kept and dropped lies below `out`."""

    def drop(name: str) -> JsonlWriter:
        return JsonlWriter(str(out / "dropped" / name))

    steps = [
        *start,
        LanguageFilter("en", exclusion_writer=drop("language")),
        GopherRepetitionFilter(exclusion_writer=drop("gopher_repetition")),
        GopherQualityFilter(exclusion_writer=drop("gopher_quality")),
        C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=drop("c4")),
        FineWebQualityFilter(exclusion_writer=drop("fineweb")),
        PIIFormatter(),
        JsonlWriter(str(out / "kept")),
    ]
    LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=str(out / "logs")).run()


def read_texts(texts: dict[str, str]) -> list:
    """Documents in place of a reader and an extractor."""
    return [
        Document(text=text, id=address, metadata={"url": address})
        for address, text in texts.items()
        if text
    ]


def read_warc(folder: Path, extractor: str) -> list:
    """Datatrove's reader, and an extractor."""
    own = extractor == "trafilatura"
    return [WarcReader(str(folder)), Trafilatura(timeout=_TIMEOUT) if own else Resiliparse()]


def list_reasons(out: Path) -> dict[str, str]:
    """What became of each page that was written."""
    reasons = {}
    for path in sorted(out.rglob("*.jsonl.gz")):
        folder = path.parent.name
        for line in gzip.decompress(path.read_bytes()).splitlines():
            about = json.loads(line)["metadata"]
            reason = f"{folder}/{about.get('filter_reason', '')}".rstrip("/")
            reasons[about["url"]] = "" if folder == "kept" else reason
    return reasons


def cpu_seconds() -> float:
    """Of this process, and of those that it has ended."""
    several = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in several)


def main(folder: Path, result: Path, extractor: str, model: str, texts: Path | None = None) -> None:
    """Warm up on other pages, then measure."""
    logger.remove()
    FT176LID.MODEL_URL = model
    judge(read_warc(folder / "warm", extractor), folder / extractor / "warm")
    out = folder / extractor / "crawl"
    if texts:
        start = [read_texts(json.loads(texts.read_text()))]
        out = folder / extractor / "given"
    else:
        start = read_warc(folder / "crawl", extractor)
    started, busy = time.perf_counter(), cpu_seconds()
    judge(start, out)
    seconds, busy = time.perf_counter() - started, cpu_seconds() - busy
    found = {"seconds": seconds, "busy": busy, "reasons": list_reasons(out)}
    result.write_text(json.dumps(found))


if __name__ == "__main__":
    folder, result, extractor, model, *texts = sys.argv[1:]
    main(Path(folder), Path(result), extractor, model, *map(Path, texts))
