"""A small world's documents as a language model rewrites them, and what is left of the facts.

The rephrase room writes and judges them, as it would the corpus: its prompts, its engine, its
gate. Which rewrites to read is the arms' business.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from k2core.rephrase.fidelity import find_fault, score_rewrite
from k2core.rephrase.sample import RewriteSource
from k2core.rephrase.start import Rephraser
from k2core.rephrase.styles import RewriteJob, assign_styles, load_styles
from schemas.rephrase import FidelityConfig, RephraseConfig
from workflows.ablations.facts import Person, Text, find_stated, tell
from workflows.ablations.kept import keep_result, read_result


class AblationRewrite(NamedTuple):
    """A rewritten document."""

    told: Text
    style: str
    """Prompt, as `NAME@VERSION`."""
    cut: bool
    """Whether it was ended by its limit."""


def rewrite_people(
    config: RephraseConfig, people: Sequence[Person], kept: Path, start: Callable[[], Rephraser]
) -> list[list[AblationRewrite]]:
    """Each person's raw document in `config.rewrites_per_document` styles, drawn by hash.

    Finished groups of `config.documents_together` are kept: a killed call goes on after the last.
    Unlike the stage's, they are not capped by `config.max_tokens_spent`.

    Args:
        config: the rewriter, its prompts and sampling.
        people: who is written about.
        kept: folder of finished groups, whatever their config.
        start: gives the rephraser; called only where a group is missing.
    """
    styles, count = load_styles(config.styles), config.rewrites_per_document
    documents = [_document(person) for person in people]
    jobs = assign_styles(documents, styles, count, config.seed)
    rows: list[dict[str, str | bool]] = []
    for first in range(0, len(jobs), config.documents_together):
        group = jobs[first : first + config.documents_together]
        path = kept / f"{_name(config, group)}.json"
        if not path.exists():
            rephraser = start()
            written = sorted(rephraser.rewrite(group))
            told = [{"text": found.text, "cut": found.cut} for _, found in written]
            keep_result(path, {"writer": rephraser.name, "rewrites": told})
        rows += read_result(path)["rewrites"]
    written_by = zip(jobs, rows, strict=True)
    return [
        [
            AblationRewrite(Text(person, str(row["text"])), job.style.prompt_id, bool(row["cut"]))
            for _, (job, row) in zip(range(count), written_by, strict=False)
        ]
        for person in people
    ]


def _document(person: Person) -> RewriteSource:
    text = tell(person, 0).text
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    return RewriteSource(name, "people", person.name, "knowledge", "Apache-2.0", text)


def _name(config: RephraseConfig, group: Sequence[RewriteJob]) -> str:
    asked = [f"{job.document.text}\0{job.style.prompt_id}\0{job.style.digest}" for job in group]
    about = config.model_dump_json(exclude={"fidelity"})
    return hashlib.sha256("\0".join([about, *asked]).encode()).hexdigest()[:16]


def judge_rewrites(
    limits: FidelityConfig, rewrites: Sequence[Sequence[AblationRewrite]], kept: Path
) -> list[list[str]]:
    """The first limit of the fidelity gate that each misses, empty if it passes; kept a person."""
    faults = []
    for some in rewrites:
        about = [limits.model_dump_json(), *(f"{r.told}{r.cut}" for r in some)]
        name = hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
        path = kept / f"{name}.faults.json"
        if not path.exists():
            keep_result(path, {"faults": [_find_fault(limits, rewrite) for rewrite in some]})
        faults.append(read_result(path)["faults"])
    return faults


def _find_fault(limits: FidelityConfig, rewrite: AblationRewrite) -> str:
    person, text = rewrite.told
    return find_fault(score_rewrite(tell(person, 0).text, text, rewrite.cut), limits)


def tabulate_rewrites(rewrites: Sequence[AblationRewrite], faults: Sequence[str]) -> str:
    """Markdown: by style, what is left of the facts and what the gate says."""
    lines = [
        "| style | rewrites | facts stated, % | all four, % | the name, % | pass the gate, % "
        "| most often refused as |",
        "|---" * 7 + "|",
    ]
    judged = list(zip(rewrites, faults, strict=True))
    for style in [*sorted({rewrite.style for rewrite in rewrites}), "all"]:
        some = [(r, fault) for r, fault in judged if style in (r.style, "all")]
        stated = [len(find_stated(*r.told)) / len(r.told.person.facts) for r, _ in some]
        named = [r.told.person.name in r.told.text for r, _ in some]
        whole, passed = [s == 1 for s in stated], [not fault for _, fault in some]
        shares = [f"{100 * mean(found):.1f}" for found in (stated, whole, named, passed)]
        often = Counter(fault for _, fault in some if fault).most_common(2)
        reasons = ", ".join(f"{fault} ({count})" for fault, count in often) or "-"
        lines.append(f"| {style} | {len(some):,} | {' | '.join(shares)} | {reasons} |")
    return "\n".join(lines)
