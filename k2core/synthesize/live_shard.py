"""Trajectories with real MCP servers: started, called and verified here and now."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from k2core.agents import Dialogue, Habits, break_off, check_faults, play_expert
from k2core.problems import Posed
from k2core.synthesize.judge import Judge
from k2core.synthesize.live import LiveEnvironment, LiveFamily
from k2core.synthesize.shards import write_aside
from k2core.synthesize.trajectories import MAX_FAULTY, Trajectory
from k2core.tools.listed import CatalogEntry, ToolOrigin
from k2core.tools.orders import find_orders
from k2core.tools.servers import McpServer
from schemas.chat import ToolSpec
from schemas.synthesize import SynthesizeConfig

_RULE = "synthesize.max_faulty_frac"
_TOOLS = TypeAdapter(list[ToolSpec])


def sample_live(
    config: SynthesizeConfig, family: LiveFamily, judge: Judge, scratch: Path
) -> Iterator[Trajectory]:
    """Up to `live_per_server` dialogues over one open session, each about something else.

    The server's tools, as it states them, are left in the scratch folder for the catalogue.
    """
    rng = random.Random(f"{config.seed}/live/{family.server}")
    seen: list[object] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="k2-mcp-") as place:
        folder = Path(place) / "data"
        folder.mkdir()
        family.prepare(folder)
        with family.start(folder, unsafe=config.unsafe_servers) as server:
            stated = server.list_tools()
            write_aside(_tools_path(scratch, family), _TOOLS.dump_json(stated))
            tools = {t.name: t for t in stated if config.keep_tool_orders or not find_orders(t)}
            for number in range(config.live_per_server):
                content = family.draw(rng)
                if content in seen or not tools.keys() >= set(content["tools"]):
                    continue
                seen.append(content)
                posed = family.pose(content, number, tools)
                dialogue = play_live(family, server, folder, posed, rng)
                for _ in range(MAX_FAULTY - 1):
                    if not dialogue.is_faulty:
                        break
                    dialogue = play_live(family, server, folder, posed, rng)
                sample = Trajectory(dialogue, judge.judge(dialogue))
                faults += [sample.judgement.reason] * sample.judgement.is_faulty
                check_faults(faults, len(seen), config.max_faulty_frac, _RULE)
                yield sample


def play_live(
    family: LiveFamily, server: McpServer, folder: Path, posed: Posed, rng: random.Random
) -> Dialogue:
    """One dialogue; faulty where the server does not do, or not say, what its family expects."""
    try:
        family.reset(server, folder, posed.content)
        environment = LiveEnvironment(family, server, folder, posed.problem)
        return play_expert(posed.problem, family.act(posed), Habits(), rng, environment)
    except Exception as error:
        return break_off(posed.problem, "expert", error)


def live_entries(family: LiveFamily, scratch: Path) -> list[CatalogEntry]:
    """The server's tools for the catalogue."""
    origin = ToolOrigin(family.source, family.license, "live")
    tools = _TOOLS.validate_json(_tools_path(scratch, family).read_bytes())
    return [CatalogEntry(tool, origin, family.server) for tool in tools]


def _tools_path(scratch: Path, family: LiveFamily) -> Path:
    return scratch / f"tools-{family.server}.json"
