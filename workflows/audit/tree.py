"""The tree of a lineage, down to the sources."""

import json
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from infra.index import RunIndex
from schemas.base import Artifact
from tasks.store import open_store
from workflows.find import locate


def show_lineage(target: str, *, as_json: bool = False) -> None:
    """The tree of stages, configs and digests that made a run's release or an artifact."""
    with RunIndex() as index:
        artifact = locate(index, target)
        if as_json:
            print(json.dumps(_makers(artifact, index), indent=1))
            return
        tree = Tree(label(artifact))
        _grow(tree, artifact, index, set())
    Console().print(tree)


def _makers(artifact: Artifact, index: RunIndex) -> dict[str, object]:
    """An artifact with the record of each stage behind it, as JSON; edges are by digest."""
    behind = [artifact, *index.related(artifact.digest, forward=False)]
    made = {each.digest: index.maker(each.digest) for each in behind}
    return {
        "artifact": artifact.model_dump(mode="json"),
        "stages": [
            {
                "run": run.tags["flyte_run"],
                "mlflow": run.run_id,
                "code": run.tags["code"],
                **record.model_dump(mode="json"),
            }
            for run, record in {m.run.run_id: m for m in made.values() if m}.values()
        ],
        "unrecorded": [digest for digest, maker in made.items() if maker is None],
    }


def _grow(tree: Tree, artifact: Artifact, index: RunIndex, seen: set[str]) -> None:
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
