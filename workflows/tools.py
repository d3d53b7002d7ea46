"""`k2 tools`: harvest real MCP tools, count them beside the synthetic ones, show one."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict

import typer
from rich.console import Console
from rich.table import Table

from infra.home import ROOT, home, last_harvest
from workflows.as_json import Json, print_json
from workflows.errors import MendableError

if TYPE_CHECKING:
    from k2core.tools.diversity import Vectors
    from k2core.tools.harvest import Listing
    from schemas.tools import RealTool, ToolRepository

app = typer.Typer(
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
    as_json: Json = False,
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
    published = None if server else _publish(kept, listings).digest
    if as_json:
        print_json({**_harvested(listings, others, kept), "published": published})
        return
    _print_harvest(listings, others, kept)
    typer.echo(f"published: {published}" if published else "A part only: not published.")


@app.command()
def count(
    plot: Annotated[Path | None, typer.Option(help="Draw the map of both kinds here.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic tools and samples.")] = 0,
    as_json: Json = False,
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
    specs = [tool.spec for tool in real] + [tool.spec for tool in made]
    vectors = embed_tools(specs)
    groups = {"real": vectors[: len(real)], "synthetic": vectors[len(real) :]}
    spreads = _measure_spreads(groups, seed)
    if plot is not None:
        draw_map({k: v for k, v in groups.items() if len(v)}, seed=seed).savefig(plot, dpi=120)
    if as_json:
        listed = {name: dict(counts.most_common()) for name, counts in domains.items()}
        print_json({"tools": listed, **spreads._asdict(), "map": plot})
        return
    for name, counts in domains.items():
        table = Table("domain", "tools", title=f"{name}: {counts.total():,} tools")
        for domain, number in counts.most_common():
            table.add_row(domain, f"{number:,}")
        Console().print(table)
    _print_spreads(spreads)
    typer.echo(f"{len(real):,} real and {len(made):,} synthetic tools")
    if plot is not None:
        typer.echo(f"map: {plot}")


class _Spread(TypedDict):
    tools: str
    sampled: int
    median_distance: float
    near_frac: float
    """With a near-duplicate."""
    distinct: int
    total: int


class _Nearest(TypedDict):
    groups: str
    median: float
    low: float
    """10 %."""
    high: float
    """90 %."""


class _Spreads(NamedTuple):
    """Neighbours within and between groups, and what is left without near-duplicates."""

    spreads: list[_Spread]
    nearest: list[_Nearest]


def _measure_spreads(groups: "Mapping[str, Vectors]", seed: int) -> _Spreads:
    import numpy as np

    from k2core.tools.diversity import drop_near, measure_spread, nearest_distances

    spreads = []
    for name, part in groups.items():
        if len(part) > 1:
            found = measure_spread(part, seed=seed)
            spreads.append(
                _Spread(
                    tools=name,
                    sampled=found.num_sampled,
                    median_distance=found.median_distance,
                    near_frac=found.near_frac,
                    distinct=len(drop_near(part)),
                    total=len(part),
                )
            )
    nearest = []
    for name, distances in nearest_distances(groups, 2000, seed).items():
        low, half, high = (float(q) for q in np.quantile(distances, (0.1, 0.5, 0.9)))
        nearest.append(_Nearest(groups=name, median=half, low=low, high=high))
    return _Spreads(spreads, nearest)


def _print_spreads(spreads: _Spreads) -> None:
    from k2core.tools.diversity import NEAR

    table = Table(
        *("tools", "sampled", "median distance to the nearest", "with a near-duplicate"),
        f"distinct (none at cosine {NEAR})",
    )
    for found in spreads.spreads:
        table.add_row(
            found["tools"],
            f"{found['sampled']:,}",
            f"{found['median_distance']:.3f}",
            f"{found['near_frac']:.1%}",
            f"{found['distinct']:,} of {found['total']:,}",
        )
    Console().print(table)
    for near in spreads.nearest:
        typer.echo(
            f"nearest {near['groups']}: median distance {near['median']:.3f} "
            f"(10 % {near['low']:.3f}, 90 % {near['high']:.3f})"
        )


@app.command()
def enrich(
    url: Annotated[str, typer.Option(help="Of an OpenAI-compatible server, e.g. with /v1.")],
    model: Annotated[str, typer.Option(help="The model's name there.")],
    out: Annotated[Path, typer.Option(help="Folder of enriched.jsonl and rejects.jsonl.")],
    count: Annotated[int, typer.Option(min=1, help="Tools, spread over all domains.")] = 1000,
    key_variable: Annotated[str, typer.Option(help="Environment variable with its key.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the tools and the model's sampling.")] = 0,
    as_json: Json = False,
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
    if as_json:
        print_json({"enriched": enriched, "rejected": rejected, "out": out})
    else:
        typer.echo(f"{enriched:,} enriched and {rejected:,} rejected: {out}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A tool's name, or a part of it.")],
    as_json: Json = False,
) -> None:
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
    if as_json:
        print_json([{**spec.declaration(), "about": line} for spec, line in found])
        return
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


def _harvested(
    listings: Sequence["Listing"], others: Sequence["RealTool"], kept: Sequence["RealTool"]
) -> dict[str, object]:
    """The same as `_print_harvest`, for programs."""
    servers = [
        {
            "server": found.server,
            "package": found.source,
            "license": found.license,
            "tools": len(found.tools),
            "digest": found.digest,
            "rejected": dict(found.rejected),
            "fault": found.fault,
            "differs": found.differs,
        }
        for found in listings
    ]
    return {
        "servers": servers,
        "listed": dict(Counter(tool.source for tool in others)),
        "licenses": dict(Counter(tool.license for tool in kept)),
        "domains": dict(Counter(tool.domain for tool in kept)),
        "tools": len(kept),
    }


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
