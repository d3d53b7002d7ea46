"""The public summary of training content (Regulation (EU) 2024/1689, article 53(1)(d)).

Sections as in the Commission's template of July 2025. What no stage recorded is said to be unknown:
whoever places a model on the market adds it, and signs again.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple, cast

from schemas.base import Artifact
from schemas.release import ReleaseConfig
from workflows.attest.facts import (
    ReleaseFacts,
    SourceAbout,
    all_sources,
    as_time,
    read_file,
    sources_of,
)

UNKNOWN = "Unknown: no stage records it; the provider has to state it."
_SIZES = ((1e9, "Less than 1 billion tokens"), (1e13, "1 billion to 10 trillion tokens"))
_OWN = "k2core."
"""Begins the package of texts that a program of the pipeline wrote."""


class SummarySection(NamedTuple):
    """A section of the template, with its answers."""

    title: str
    answers: dict[str, str]


def write_summary(facts: ReleaseFacts) -> dict[str, bytes]:
    """Name -> file: for programs and for people."""
    sections = [*_general(facts), *_sources(facts), *_processing(facts)]
    named = {section.title: section.answers for section in sections}
    page = ["# Public summary of training content", ""]
    for title, answers in named.items():
        page += [f"## {title}", ""]
        page += [f"**{asked}**  \n{answer}\n" for asked, answer in answers.items()]
    return {
        "training-summary.json": json.dumps(named, indent=1).encode() + b"\n",
        "training-summary.md": "\n".join(page).encode(),
    }


def _general(facts: ReleaseFacts) -> list[SummarySection]:
    config = facts.config
    tokens = next((one for one in _learned_from(facts) if one.kind == "token_corpus"), None)
    placeholder = ReleaseConfig.model_fields["organization"].default
    named = config.organization != placeholder
    read = next((s.run.ended for s in facts.stages if s.record.stage == "ingest"), None)
    trained = sum(
        a.counts.get("tokens", 0) for a in facts.artifacts.values() if a.kind == "checkpoint"
    )
    return [
        SummarySection(
            "1.1 Provider identification",
            {
                "Provider name and contact details": config.organization if named else UNKNOWN,
                "Authorised representative": UNKNOWN,
            },
        ),
        SummarySection(
            "1.2 Model identification",
            {
                "Versioned model names": f"{config.name}, release {facts.release.digest}",
                "Model dependencies": _base(facts),
                "Date of placement on the Union market": UNKNOWN,
            },
        ),
        SummarySection(
            "1.3 Modalities, overall training data size and other characteristics",
            {
                "Modalities": "Text. No image, audio or video is read by any stage.",
                "Training data size (text)": f"{_size(trained)}: {trained:,.0f} tokens read in "
                "pre-training and finetuning here, repetitions included.",
                "Types of content": _domains(tokens) if tokens else "Dialogues with tools.",
                "Latest date of data acquisition": f"{as_time(read)} (ingestion). When the texts "
                "were written is unknown."
                if read
                else UNKNOWN,
                "Linguistic characteristics": ", ".join(config.languages) + " (ISO 639-1).",
            },
        ),
    ]


def _sources(facts: ReleaseFacts) -> list[SummarySection]:
    trajectories = facts.of_kind("trajectory_set")
    learned = sources_of(trajectories) if trajectories else {}
    read = [one for one in _learned_from(facts) if one.kind != "trajectory_set"]
    texts = {name: a for name, a in all_sources(read).items() if name not in learned}
    files = {name: a for name, a in texts.items() if a.get("version") == "unknown"}
    models = {name: a for name, a in texts.items() if a.get("domain") == "rewriter"}
    own = {name: a for name, a in texts.items() if str(a.get("package", "")).startswith(_OWN)}
    apart = files.keys() | models.keys() | own.keys()
    packages = {name: a for name, a in texts.items() if name not in apart}
    dialogues = trajectories.describe_counts() if trajectories else ""
    return [
        SummarySection(
            "2.1 Publicly available datasets",
            {
                "Datasets, of packages that anybody can install": _rows(packages),
            },
        ),
        SummarySection(
            "2.2 Private datasets obtained from third parties",
            {
                "Commercially licensed by rightsholders": UNKNOWN if files else "None recorded.",
                "Private datasets from other third parties": UNKNOWN if files else "None recorded.",
            },
        ),
        SummarySection(
            "2.3 Data crawled and scraped from online sources",
            {
                "Crawlers": "The pipeline has none. Who crawled what came in files is unknown."
                if files
                else "The pipeline has none, and read no files but those of packages.",
            },
        ),
        SummarySection(
            "2.4 User data",
            {
                "Interactions with services or products": UNKNOWN
                if files
                else "None: no stage reads any.",
            },
        ),
        SummarySection(
            "2.5 Synthetic data",
            {
                "Texts by programs of the pipeline": _rows(own),
                "Models that rephrased texts": _rows(models),
                "Dialogues": f"{dialogues}; {_agent(facts)}" if dialogues else "None.",
                "Tools in the dialogues": _rows(learned),
            },
        ),
        SummarySection("2.6 Other sources of data", {"Files that were brought": _rows(files)}),
    ]


def _processing(facts: ReleaseFacts) -> list[SummarySection]:
    clean = facts.of_kind("clean_corpus")
    content = read_file(clean, "funnel.json") if clean else None
    funnel: dict[str, object] = json.loads(content) if content else {}
    return [
        SummarySection(
            "3.1 Respect of reservation of rights from the text and data mining exception",
            {"Measures": UNKNOWN, "Licences, by source": "In 2.1 to 2.6 and in LICENSES.md."},
        ),
        SummarySection(
            "3.2 Removal of illegal content",
            {
                "Measures": "No filter for illegal content is recorded.",
                "Personal data and keys that were redacted": _counts(funnel.get("redactions")),
            },
        ),
        SummarySection(
            "3.3 Other information",
            {
                "Cleaning": _funnel(funnel),
                "Documents excluded on request": f"{_excluded(facts)} ids",
                "How this was written": "From the recorded lineage; the provenance of every stage "
                "is in provenance/.",
            },
        ),
    ]


def _learned_from(facts: ReleaseFacts) -> list[Artifact]:
    """The data sets behind any of the models."""
    found = {one.digest: one for name in facts.models for one in facts.data_of(name)}
    return list(found.values())


def _base(facts: ReleaseFacts) -> str:
    """What the weights started from."""
    brought = next((s.record for s in facts.stages if s.record.stage == "adopt"), None)
    if brought is None:
        return "None: the weights started from random numbers."
    return _rows(all_sources(brought.outputs.values())) + ". What it was trained on is unknown."


def _agent(facts: ReleaseFacts) -> str:
    agent = facts.config_of("synthesize").get("agent")
    return f"by the model {json.dumps(agent)}" if agent else "by scripted experts, not by a model"


def _domains(tokens: Artifact) -> str:
    content = read_file(tokens, "manifest.json")
    if content is None:
        return UNKNOWN
    domains: dict[str, dict[str, float]] = json.loads(content)["domains"]
    return ", ".join(f"{name}: {of['train_tokens']:,.0f} tokens" for name, of in domains.items())


def _size(tokens: float) -> str:
    return next((words for most, words in _SIZES if tokens < most), "More than 10 trillion tokens")


def _rows(sources: Mapping[str, SourceAbout]) -> str:
    return "; ".join(_row(name, about) for name, about in sources.items()) or "None."


def _row(name: str, about: SourceAbout) -> str:
    said = [about.get("domain") or about.get("role") or "text"]
    counted = (("documents", about.get("documents")), ("tools", about.get("tools")))
    said += [f"{number:,} {what}" for what, number in counted if number is not None]
    said += [about.get("license", "licence unknown")]
    return " ".join(filter(None, [name, about.get("version"), f"({', '.join(said)})"]))


def _counts(found: object) -> str:
    if not isinstance(found, dict) or not found:
        return UNKNOWN
    return ", ".join(f"{number:,} {name}" for name, number in cast(dict[str, int], found).items())


def _funnel(funnel: Mapping[str, object]) -> str:
    domains = funnel.get("domains")
    if not isinstance(domains, dict):
        return UNKNOWN
    return "; ".join(f"{n}: {of['kept']:,} of {of['raw']:,} kept" for n, of in domains.items())


def _excluded(facts: ReleaseFacts) -> int:
    found = facts.config_of("clean").get("exclude")
    return len(found) if isinstance(found, list) else 0
