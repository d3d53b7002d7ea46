# mypy: ignore-errors
"""The peers' side of `bench.pii`: Presidio at several thresholds, and datatrove's formatter.

    python pii.py LINES.json RESULT.json

RESULT: contestant -> of each line its spans, [begin, end, kind].
"""

import json
import re
import sys
from pathlib import Path

import spacy
from datatrove.pipeline.formatters import PIIFormatter
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

KINDS = {
    "EMAIL_ADDRESS": "email", "IP_ADDRESS": "ip", "IBAN_CODE": "iban", "CREDIT_CARD": "card",
    "US_SSN": "ssn", "PHONE_NUMBER": "phone",
}  # fmt: skip
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.7)


class BlankEngine(SpacyNlpEngine):
    """Words alone: spaCy's models are in no package."""

    def __init__(self):
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": spacy.blank("en")}

    def load(self):
        """It is there."""


def main(lines, result):
    """Write what both find."""
    texts = json.loads(Path(lines).read_text())
    engine = AnalyzerEngine(nlp_engine=BlankEngine(), supported_languages=["en"])
    analyzed = [engine.analyze(text, language="en", entities=list(KINDS)) for text in texts]
    found = {
        f"presidio, scores from {least}": [
            [[r.start, r.end, KINDS[r.entity_type]] for r in each if r.score >= least]
            for each in analyzed
        ]
        for least in THRESHOLDS
    }
    found["datatrove"] = [find_datatrove(text) for text in texts]
    Path(result).write_text(json.dumps(found))


def find_datatrove(text):
    """Spans that its formatter replaces."""
    marks = {"\ue000": "email", "\ue001": "ip"}
    formatter = PIIFormatter(email_replacement="\ue000", ip_replacement="\ue001")
    pieces = re.split("([\ue000\ue001])", formatter.format(text))
    found = re.fullmatch("(.+?)".join(map(re.escape, pieces[::2])), text, re.DOTALL)
    return [[*found.span(n), marks[mark]] for n, mark in enumerate(pieces[1::2], 1)]


if __name__ == "__main__":
    main(*sys.argv[1:])
