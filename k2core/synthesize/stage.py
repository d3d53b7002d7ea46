"""The stage: shards of trajectories, the catalogue of tools and the statistics."""

import json
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from k2core.rewards.telling import check_own_tests
from k2core.sandbox import Sandbox
from k2core.store import Draft, Workspace
from k2core.synthesize.catalog import pick_distractors, write_catalog
from k2core.synthesize.judge import Judge
from k2core.synthesize.live import LiveFamily
from k2core.synthesize.live_families import FAMILIES
from k2core.synthesize.live_shard import live_entries, sample_live
from k2core.synthesize.model_judge import Calibration, ModelJudge, known_dialogues
from k2core.synthesize.report import report_diversity, report_summary
from k2core.synthesize.sessions import PlaySessions, Work, open_play
from k2core.synthesize.shards import KINDS, TrajectoryShard, make_shard
from k2core.synthesize.statistics import TrajectorySummary
from k2core.synthesize.telling import check_code
from k2core.tools.harvest import read_repository
from k2core.tools.listed import CatalogEntry, ToolOrigin, read_listed_tools
from k2core.tools.orders import find_orders
from schemas.placement import Placement
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig
from schemas.tools import ToolRepository


def synthesize_trajectories(
    config: SynthesizeConfig,
    problems: ProblemsConfig,
    workspace: Workspace,
    placement: Placement,
) -> Draft:
    """Make a `TrajectorySet`: accepted and rejected dialogues, tools, statistics, sources.

    Raises:
        ServersMissingError: the real MCP servers are asked for and are not installed.
        ValueError: hidden tests that the expert's code fails, or that find no wrong code out.
    """
    listed = read_real_tools(config, workspace)
    distractors = pick_distractors(listed, config.max_distractor_chars)
    with Sandbox.start() as sandbox:
        check_code(problems, sandbox)
        check_own_tests(problems, sandbox)
        calibration = calibrate(config, problems, Judge(sandbox))
        work = Work(config, problems, distractors, bool(calibration and calibration.counts))
        judge = work.open_judge(sandbox)
        with open_play(work, judge, placement.session_actors) as play:
            shards = list(make_shards(config, problems, workspace, judge, play))
    publish_shards(shards, workspace.out)
    summary = TrajectorySummary.of(shards)
    entries = [*listed, *summary.generated_tools(distractors)]
    for family in pick_live(config):
        entries += live_entries(family, workspace.scratch)
    (workspace.out / "tools.json").write_text(write_catalog(entries))
    held = {"model_judge": calibration._asdict()} if calibration else {}
    write_json(workspace.out / "stats.json", summary.to_json() | held)
    if calibration:
        workspace.report.table("The model judge against programs", [calibration._asdict()])
    write_json(workspace.out / "sources.json", describe_sources(entries))
    report_summary(summary, workspace.report)
    report_diversity(entries, workspace.report)
    return Draft(workspace.out, {**summary.counts(), "tools": float(len(entries))})


def read_real_tools(config: SynthesizeConfig, workspace: Workspace) -> list[CatalogEntry]:
    """The harvested repository's tools, or livemcpbench's; none where none is asked for.

    Raises:
        ArtifactMissingError: the store does not hold the repository.
        ServersMissingError: livemcpbench is not installed.
    """
    entries: list[CatalogEntry] = []
    if config.tool_repository:
        repository = ToolRepository(digest=config.tool_repository)
        entries = [
            CatalogEntry(tool.spec, ToolOrigin(tool.source, tool.license, "listed"), tool.server)
            for tool in read_repository(workspace.open(repository))
        ]
    elif config.live_per_server or config.distractor_frac:
        entries = read_listed_tools()
    return [e for e in entries if config.keep_tool_orders or not find_orders(e.spec)]


_CLOSING_FRAC = 0.25
"""Of the stage's time: to publish the shards and to report on them, once all are made."""


def pick_live(config: SynthesizeConfig) -> list[LiveFamily]:
    """The families of the servers that are to be called."""
    return [FAMILIES[name] for name in config.live_servers] if config.live_per_server else []


def make_shards(
    config: SynthesizeConfig,
    problems: ProblemsConfig,
    workspace: Workspace,
    judge: Judge,
    play: PlaySessions,
) -> Iterator[TrajectoryShard]:
    """Live shards first, which this process plays, then simulated ones.

    Without a model that acts, and without generated families, there is no expert to play problems.
    """
    scratch = workspace.scratch
    for family in pick_live(config):
        workspace.report.progress(0, config.num_problems, f"mcp-server-{family.server}")
        make = partial(sample_live, config, family, judge, scratch)
        yield make_shard(scratch, f"live-{family.server}", make)
    played = config.num_problems if config.agent or any(problems.families.values()) else 0
    counts = {"problem": played, "scenario": config.num_scenarios}
    total, done = sum(counts.values()) / (1 - _CLOSING_FRAC), 0
    for kind, count in counts.items():
        prefix = "" if kind == "problem" else f"{kind}-"
        for shard, start in enumerate(range(0, count, config.shard_problems)):
            numbers = range(start, min(start + config.shard_problems, count))
            yield make_shard(scratch, f"{prefix}{shard:05d}", partial(play, kind, numbers))
            done += len(numbers)
            workspace.report.progress(done, total, "problems")


def calibrate(
    config: SynthesizeConfig, problems: ProblemsConfig, judge: Judge
) -> Calibration | None:
    """How the model judge fares against the programs; None where none is asked for."""
    if config.model_judge is None:
        return None
    known, pairs = known_dialogues(problems, judge, config.model_judge.num_calibration)
    return ModelJudge(config.model_judge).calibrate(known, pairs)


def publish_shards(shards: Sequence[TrajectoryShard], out: Path) -> None:
    """Copy the tables into place; the scratch keeps them until the artifact is published."""
    for kind in KINDS:
        (out / kind).mkdir()
        for shard in shards:
            path: Path = getattr(shard, kind)
            shutil.copyfile(path, out / kind / path.name.removeprefix(f"{kind}-"))


def describe_sources(entries: Sequence[CatalogEntry]) -> dict[str, object]:
    """Licence and number of tools by source."""
    sources: dict[str, dict[str, object]] = {}
    for entry in entries:
        about = sources.setdefault(
            entry.origin.source,
            {"license": entry.origin.license, "role": entry.origin.role, "tools": 0},
        )
        about["tools"] = int(str(about["tools"])) + 1
    return dict(sorted(sources.items()))


def write_json(path: Path, content: object) -> None:
    """Readable and in a fixed order."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
