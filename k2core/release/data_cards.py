"""Cards of the data: what the text and the dialogues are, in the Hub's form for data sets."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from k2core.release.licenses import LicensedSource, read_sources, sources_table
from k2core.tokens import read_manifest
from schemas.lineage import LineageRecord
from schemas.release import ReleaseConfig
from schemas.tokenize import TokenManifest


def describe_data(
    config: ReleaseConfig,
    out: Path,
    raw: Path,
    corpus: Path,
    dialogues: Path,
    lineage: Sequence[LineageRecord],
) -> None:
    """Cards of the text and of the dialogues."""
    out.mkdir()
    manifest = read_manifest(corpus)
    text = corpus_card(config, manifest, read_sources([raw, corpus]), lineage)
    (out / "text.md").write_text(text)
    told = trajectories_card(config, dialogues, read_sources([dialogues]), lineage)
    (out / "dialogues.md").write_text(told)


def corpus_card(
    config: ReleaseConfig,
    manifest: TokenManifest,
    sources: Sequence[LicensedSource],
    lineage: Sequence[LineageRecord],
) -> str:
    """Of the text: domains, how much of each, where it is from and what was left out."""
    domains = [
        f"| {name} | {about.weight:.0%} | {about.train_tokens:,} | {about.num_train_documents:,} | "
        f"{about.epochs:.2f} | {about.heldout_tokens:,} |"
        for name, about in sorted(manifest.domains.items())
    ]
    return f"""{_head(config, "text-generation", f"{config.name}: text")}
# {config.name}: the text

Read in pre-training with a vocabulary of {manifest.vocab_size}. It is not part of this release: the
recipe in `lineage.json` makes it again, byte by byte.

| domain | share of the mixture | tokens | documents | times read | tokens held out |
|---|---|---|---|---|---|
{chr(10).join(domains)}

What became of it:

{_steps(lineage, ("ingest", "clean", "rephrase", "tokenize"))}

{sources_table(sources)}

Documents that share a run of words with a held-out problem were left out; personal data and keys
were masked. Texts are as their authors wrote them, or rewritten by the model named above.
"""


def trajectories_card(
    config: ReleaseConfig,
    folder: Path,
    sources: Sequence[LicensedSource],
    lineage: Sequence[LineageRecord],
) -> str:
    """Of the dialogues: families, what was rejected and why, and how long they are.

    Args:
        config: names the model.
        folder: of the trajectories.
        sources: of their tools and problems.
        lineage: what is told of the stage.
    """
    stats = json.loads((folder / "stats.json").read_text())
    accepted, rejected = stats["accepted"], stats["rejected"]
    families = [
        f"| {name} | {accepted.get(name, 0):,} | {rejected.get(name, 0):,} |"
        for name in sorted({*accepted, *rejected})
    ]
    return f"""{_head(config, "text-generation", f"{config.name}: dialogues")}
# {config.name}: the dialogues

Of simulated users, tools and scripted experts; kept where a program accepted the outcome. They are
not part of this release: the recipe in `lineage.json` makes them again.

| family | accepted | rejected |
|---|---|---|
{chr(10).join(families)}

Rejected for: {_counts(stats["reasons"])}.
Accepted dialogues by tool calls: {_counts(stats["calls"])}; by assistant messages: \
{_counts(stats["turns"])}.
Characters of one: {stats["characters"]["mean"]:,} in the mean, {stats["characters"]["largest"]:,} \
at most.

{_steps(lineage, ("synthesize",))}

{sources_table(sources)}

Held-out problems, their contents, and the tools of the condition *unseen tools* are in none.
"""


def _head(config: ReleaseConfig, task: str, name: str) -> str:
    head: dict[str, object] = {"pretty_name": name, "license": "other"}
    head |= {"language": list(config.languages), "task_categories": [task]}
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"


def _steps(lineage: Sequence[LineageRecord], stages: Sequence[str]) -> str:
    rows = [
        f"| {record.stage} | "
        + ", ".join(f"{value:,.0f} {name.replace('_', ' ')}" for name, value in a.counts.items())
        + f" | `{a.digest}` |"
        for record in lineage
        if record.stage in stages
        for a in record.outputs.values()
    ]
    return "\n".join(["| stage | counts | digest |", "|---|---|---|", *rows])


def _counts(found: Mapping[str, int]) -> str:
    ordered = sorted(found.items(), key=lambda count: -count[1])[:8]
    return ", ".join(f"{name} {count:,}" for name, count in ordered) or "nothing"
