# mypy: ignore-errors
"""datatrove's side of `bench.clean`: runs in an environment of its own, on one core.

    python datatrove_clean.py DOCUMENTS.json RESULT.json [WORDS.json]

DOCUMENTS is a list of texts; RESULT says of each what dropped it ("" nothing), and the seconds.
WORDS, text -> its words, takes the place of datatrove's own splitting for the texts that are there:
what then still differs is not the words' doing.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.formatters import PIIFormatter


def main(documents: Path, result: Path, words: Path | None = None) -> None:
    """Judge the documents one by one, as datatrove's pipeline does."""
    texts = json.loads(documents.read_text())
    if words:
        use_words(json.loads(words.read_text()))
    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    formatter = PIIFormatter()
    judge("The first text loads what the filters need. " * 20, filters, formatter)
    started = time.perf_counter()
    judged = [judge(text, filters, formatter) for text in texts]
    seconds = time.perf_counter() - started
    result.write_text(json.dumps({"seconds": seconds, "reasons": judged}))


def judge(text: str, filters: list, formatter: PIIFormatter) -> str:
    """The reason of the first filter against a text; what is kept is redacted."""
    document = Document(text=text, id="0")
    for each in filters:
        try:
            kept = each.filter(document)
        except ZeroDivisionError:
            return "no_words"
        if kept is not True:
            return kept[1]
    document.text = formatter.format(document.text)
    return ""


def use_words(words: dict[str, list[str]]) -> None:
    """Give the filters these words of a text."""
    from datatrove.pipeline.filters import (
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )
    from datatrove.utils.text import split_into_words

    def split(text: str, language: str) -> list[str]:
        return words[text] if text in words else split_into_words(text, language)

    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        module.split_into_words = split


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
