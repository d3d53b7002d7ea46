"""The tree of a lineage, down to the sources."""

import json
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from infra.index import Index
from schemas.base import Artifact
from tasks.store import open_store
from workflows.find import locate


def show_lineage(target: str) -> None:
    """The tree of stages, configs and digests that made a run's release or an artifact."""
    with Index() as index:
        artifact = locate(index, target)
        tree = Tree(label(artifact))
        _grow(tree, artifact, index, set())
    Console().print(tree)


def _grow(tree: Tree, artifact: Artifact, index: Index, seen: set[str]) -> None:
    made = index.maker(artifact.digest)
    if made is None:
        tree.add("[red]maker not recorded[/red]")
        return
    run, record = made
    branch = tree.add(
        f"made by [cyan]{record.stage}[/cyan] version {record.version}, code "
        f"{run.tags['code'][:12]}, run {run.tags['flyte_run']}, mlflow {run.run_id[:8]}"
    )
    if artifact.digest in seen:
        branch.add("(shown above)")
        return
    seen.add(artifact.digest)
    if "config" in record.configs:
        text = json.dumps(record.configs["config"], separators=(",", ":"))
        shown = text[:160] + ("…" if len(text) > 160 else "")
        branch.add(f"[dim]config {escape(shown)}[/dim]")
    if artifact.kind == "raw_corpus" and open_store().has(artifact):
        sources = json.loads((open_store().open(artifact) / "sources.json").read_text())
        for name, source in sources.items():
            branch.add(f"source [green]{name}[/green]: {escape(_source(source))}")
    for name, parent in record.inputs.items():
        _grow(branch.add(f"{name}: {label(parent)}"), parent, index, seen)


def label(artifact: Artifact) -> str:
    """An artifact in a line, for rich."""
    return f"[bold]{artifact.kind}[/bold] {artifact.digest} ({artifact.describe_counts()})"


def _source(source: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in source.items() if key != "digest")
