"""`k2 tools`: harvest real MCP tools, count them beside the synthetic ones, show one."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.home import ROOT, home, last_harvest
from workflows.errors import MendableError
from workflows.exits import PlainErrors

if TYPE_CHECKING:
    from k2core.tools.diversity import Vectors
    from k2core.tools.harvest import Listing
    from schemas.tools import RealTool, ToolRepository

app = typer.Typer(
    cls=PlainErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Real MCP tools and synthetic ones: harvest, count, show.

    Example: `k2 tools harvest`, then `k2 tools count --plot tools.png`
    """,
)


class NoToolsError(MendableError):
    """A tool or a repository that is not here; the message says how to get it."""


@app.command()
def harvest(
    server: Annotated[
        list[str] | None, typer.Option(help="Only this one of k2core/tools/servers.yaml.")
    ] = None,
) -> None:
    """Install real MCP servers, start each in a jail without network, list and check their tools.

    A second call reads what the first one listed and tries again what failed.

    Example: `k2 tools harvest --server memory --server twilio`
    """
    from k2core.tools.catalogue import read_catalogue
    from k2core.tools.harvest import adopt_listed, drop_duplicates, harvest_servers
    from k2core.tools.listed import read_listed_tools
    from k2core.tools.servers import ServersMissingError
    from tasks.store import open_store

    entries = read_catalogue()
    if unknown := set(server or ()) - {entry.name for entry in entries}:
        names = ", ".join(entry.name for entry in entries)
        raise NoToolsError(f"no server {sorted(unknown)[0]!r}; there are {names}")
    wanted = [entry for entry in entries if not server or entry.name in server]
    listings = []
    with open_store().locked("tools-harvest-servers"):
        root, locks = home() / "tools", ROOT / "infra/locks"
        for listing in harvest_servers(wanted, root, locks):
            listings.append(listing)
            said = f"FAILED: {listing.fault[-160:]}" if listing.fault else f"{len(listing.tools):,}"
            typer.echo(f"{listing.server:20} {said}", err=True)
    others: list[RealTool] = []
    try:
        others = [] if server else adopt_listed(read_listed_tools())
    except ServersMissingError as error:
        typer.echo(f"livemcpbench         FAILED: {error}", err=True)
    kept = drop_duplicates([*others, *(tool for found in listings for tool in found.tools)])
    _print_harvest(listings, others, kept)
    if server:
        typer.echo("A part only: not published.")
        return
    typer.echo(f"published: {_publish(kept, listings).digest}")


@app.command()
def count(
    plot: Annotated[Path | None, typer.Option(help="Draw the map of both kinds here.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic tools and samples.")] = 0,
) -> None:
    """Count real and synthetic tools by domain, and measure how different they are.

    Example: `k2 tools count --plot tools.png`
    """
    from k2core.tools import evolve_tools
    from k2core.tools.diversity import draw_map, embed_tools

    real, made = read_real(), list(evolve_tools(seed=seed))
    domains = {
        "real": Counter(tool.domain for tool in real),
        "synthetic": Counter(f"{tool.entity.category}/{tool.entity.domain}" for tool in made),
    }
    for name, counts in domains.items():
        table = Table("domain", "tools", title=f"{name}: {counts.total():,} tools")
        for domain, number in counts.most_common():
            table.add_row(domain, f"{number:,}")
        Console().print(table)
    specs = [tool.spec for tool in real] + [tool.spec for tool in made]
    vectors = embed_tools(specs)
    groups = {"real": vectors[: len(real)], "synthetic": vectors[len(real) :]}
    _print_spreads(groups, seed)
    typer.echo(f"{len(real):,} real and {len(made):,} synthetic tools")
    if plot is not None:
        draw_map({k: v for k, v in groups.items() if len(v)}, seed=seed).savefig(plot, dpi=120)
        typer.echo(f"map: {plot}")


def _print_spreads(groups: "Mapping[str, Vectors]", seed: int) -> None:
    """Nearest neighbours within and between groups, and what is left without near-duplicates."""
    import numpy as np

    from k2core.tools.diversity import NEAR, drop_near, measure_spread, nearest_distances

    table = Table(
        *("tools", "sampled", "median distance to the nearest", "with a near-duplicate"),
        f"distinct (none at cosine {NEAR})",
    )
    for name, part in groups.items():
        if len(part) > 1:
            spread = measure_spread(part, seed=seed)
            table.add_row(
                name,
                f"{spread.num_sampled:,}",
                f"{spread.median_distance:.3f}",
                f"{spread.near_frac:.1%}",
                f"{len(drop_near(part)):,} of {len(part):,}",
            )
    Console().print(table)
    for name, distances in nearest_distances(groups, 2000, seed).items():
        low, half, high = (float(q) for q in np.quantile(distances, (0.1, 0.5, 0.9)))
        typer.echo(f"nearest {name}: median distance {half:.3f} (10 % {low:.3f}, 90 % {high:.3f})")


@app.command()
def enrich(
    url: Annotated[str, typer.Option(help="Of an OpenAI-compatible server, e.g. with /v1.")],
    model: Annotated[str, typer.Option(help="The model's name there.")],
    out: Annotated[Path, typer.Option(help="Folder of enriched.jsonl and rejects.jsonl.")],
    count: Annotated[int, typer.Option(min=1, help="Tools, spread over all domains.")] = 1000,
    key_variable: Annotated[str, typer.Option(help="Environment variable with its key.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the tools and the model's sampling.")] = 0,
) -> None:
    """Let a model word synthetic tools better; what changes more than words is rejected and kept.

    A second call goes on where the first one stopped.

    Example: `k2 tools enrich --url http://localhost:8000/v1 --model qwen --out richer`
    """
    from k2core.agents.endpoint import ChatModel, EndpointError
    from k2core.tools import evolve_tools
    from k2core.tools.enrich import enrich_into
    from schemas.endpoint import Endpoint

    specs = [tool.spec for tool in evolve_tools(seed=seed)]
    count = min(count, len(specs))
    chosen = [specs[n * len(specs) // count] for n in range(count)]
    endpoint = Endpoint(url=url, model=model, api_key_variable=key_variable)
    try:
        enriched, rejected = enrich_into(out, chosen, ChatModel(endpoint), seed)
    except EndpointError as error:
        raise MendableError(str(error)) from None
    typer.echo(f"{enriched:,} enriched and {rejected:,} rejected: {out}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="A tool's name, or a part of it.")]) -> None:
    """Show tools of that name: declaration, provenance, semantics of synthetic ones.

    Example: `k2 tools show create_entities`
    """
    from k2core.tools import evolve_tools
    from schemas.chat import ToolSpec

    lines = {
        tool.spec.model_dump_json(): f"{tool.domain}: {tool.server}, {tool.source}, {tool.license}"
        for tool in read_real()
        if name in tool.spec.name
    }
    lines |= {
        tool.spec.model_dump_json(): f"synthetic, {tool.entity.domain}: {tool.semantics}"
        for tool in evolve_tools()
        if name in tool.spec.name
    }
    found = [(ToolSpec.model_validate_json(text), line) for text, line in lines.items()]
    found = [pair for pair in found if pair[0].name == name] or found
    if not found:
        raise NoToolsError(f"no tool {name!r} among the harvested and the synthetic ones")
    for spec, line in found[:3]:
        Console().print_json(json.dumps(spec.declaration()))
        typer.echo(line)
    if len(found) > 3:
        typer.echo(f"and {len(found) - 3:,} more: name it exactly")


def read_real() -> list["RealTool"]:
    """The last harvest's tools; where there was none, those that livemcpbench lists.

    Raises:
        NoToolsError: neither is here.
    """
    from k2core.tools.harvest import adopt_listed, drop_duplicates, read_repository
    from k2core.tools.listed import read_listed_tools
    from k2core.tools.servers import ServersMissingError
    from schemas.tools import ToolRepository
    from tasks.store import open_store

    if last_harvest().exists():
        repository = ToolRepository.model_validate_json(last_harvest().read_text())
        return read_repository(open_store().open(repository))
    typer.echo("not harvested yet (k2 tools harvest): real tools are livemcpbench's", err=True)
    try:
        return drop_duplicates(adopt_listed(read_listed_tools()))
    except ServersMissingError as error:
        raise NoToolsError(str(error)) from None


def _publish(tools: Sequence["RealTool"], listings: Sequence["Listing"]) -> "ToolRepository":
    """The repository as an artifact, and its name where `read_real` looks."""
    from k2core.store import Draft
    from k2core.tools.harvest import write_repository
    from schemas.tools import ToolRepository
    from tasks.store import open_store

    store = open_store()
    with store.locked("tools-harvest"):
        workspace = store.workspace("tools-harvest")
        write_repository(tools, listings, workspace.out)
        sources = {tool.source for tool in tools}
        counts = {"tools": float(len(tools)), "packages": float(len(sources))}
        repository = store.publish(ToolRepository, Draft(workspace.out, counts))
        store.clear("tools-harvest")
    aside = last_harvest().with_suffix(".aside")
    aside.write_text(repository.model_dump_json())
    aside.rename(last_harvest())
    return repository


def _print_harvest(
    listings: Sequence["Listing"], others: Sequence["RealTool"], kept: Sequence["RealTool"]
) -> None:
    """By server and by licence, with what was rejected, what failed and what differs."""
    console = Console()
    table = Table("server", "package", "licence", "tools", "digest")
    for found in listings:
        size = "failed" if found.fault else f"{len(found.tools):,}"
        digest = "" if found.fault else found.digest
        table.add_row(found.server, found.source, found.license, size, digest)
    for source, listed in Counter(tool.source for tool in others).items():
        table.add_row("(a list)", source, others[0].license, f"{listed:,}", "")
    console.print(table)
    for found in listings:
        notes = [f"{left} left out: {reason}" for reason, left in found.rejected.items()]
        for note in (*notes, found.fault[-300:], found.differs):
            if note:
                typer.echo(f"{found.server}: {note}")
    for title, counts in (
        ("licence", Counter(tool.license for tool in kept)),
        ("domain", Counter(tool.domain for tool in kept)),
    ):
        table = Table(title, "tools")
        for name, number in counts.most_common():
            table.add_row(name, f"{number:,}")
        console.print(table)
    total = len(others) + sum(len(found.tools) for found in listings)
    good = [found for found in listings if not found.fault]
    typer.echo(
        f"{len(kept):,} different real tools of {len(good)} of {len(listings)} servers and "
        f"{len(others):,} listed ones; {total - len(kept):,} duplicates dropped"
    )
