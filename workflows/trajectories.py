"""`k2 synthesize`, `rejudge`, `export` and `validate`: trajectories outside of a whole run."""

import json
import time
from collections import Counter
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from k2core.chat.exchange import to_line, validate_lines
from k2core.sandbox import Sandbox
from k2core.synthesize.judge import JUDGE, Judge
from k2core.synthesize.rejudge import rejudge
from k2core.synthesize.trajectories import from_row
from k2core.tables import list_shards, read_shard
from schemas.base import Artifact
from schemas.chat import TrajectoryRow
from schemas.recipe import Recipe
from tasks.store import published_folder
from workflows.as_json import print_json
from workflows.errors import MendableError
from workflows.find import find_kind

_SHOWN_FAULTS = 20


def synthesize(recipe: Recipe, *, as_json: bool = False) -> None:
    """Run the stage alone; print rate, acceptance and whose fault the failures were."""
    from workflows.launch import run_stage  # and with it every task

    started = time.monotonic()
    name, result = run_stage("synthesize", recipe)
    assert isinstance(result, Artifact)
    seconds = time.monotonic() - started
    stats = json.loads((published_folder(result) / "stats.json").read_text())
    accepted, rejected = (sum(stats[kind].values()) for kind in ("accepted", "rejected"))
    if as_json:
        figures = {"accepted": accepted, "rejected": rejected, "seconds": round(seconds, 1)}
        print_json({"run": name, **figures, "reasons": stats["reasons"]})
        return
    table = Table("side", "reason", "rejected", title=f"{name}: whose fault the failures were")
    for reason, count in sorted(stats["reasons"].items(), key=lambda item: -item[1]):
        side, _, what = reason.partition(": ")
        table.add_row(side, what, str(count))
    Console().print(table)
    share = accepted / (accepted + rejected)
    typer.echo(
        f"{accepted:,} accepted, {rejected:,} rejected ({share:.1%} accepted) in {seconds:.0f} s: "
        f"{accepted / seconds:.0f} accepted/s, {8 * 3600 * accepted / seconds:,.0f} in eight hours"
    )


def rejudge_set(target: str, out: Path | None, *, as_json: bool = False) -> None:
    """Judge a set's stored trajectories again; write the new judgements if `out` is given."""
    folder = find_set(target)
    changes: Counter[tuple[str, str]] = Counter()
    total, rows = 0, []
    with Sandbox.start() as sandbox:
        for found in track(rejudge(folder, Judge(sandbox)), "judging", transient=True):
            total += 1
            before, now = found.row["reason"], found.new.reason
            if before != now:
                changes[before or "accepted", now or "accepted"] += 1
            rows.append({**found.row, **_judged(found.new.reward, now, found.new.fault)})
    if out is not None:
        write_rejudged(out, rows)
    if as_json:
        turned = [
            {"was": was, "is": now, "trajectories": count}
            for (was, now), count in changes.most_common()
        ]
        print_json({"judged": total, "judge": JUDGE, "changed": turned, "out": out})
        return
    table = Table("was", "is", "trajectories", title=f"{total:,} judged again by {JUDGE}")
    for (was, now), count in changes.most_common():
        table.add_row(was, now, str(count))
    Console().print(table if changes else f"{total:,} judged again by {JUDGE}: nothing changed")
    if out is not None:
        typer.echo(f"written to {out}")


def _judged(reward: float, reason: str, fault: str) -> dict[str, object]:
    return {"reward": reward, "reason": reason, "fault": fault, "judge": JUDGE}


def write_rejudged(out: Path, rows: list[dict[str, object]]) -> None:
    """Two tables, accepted and rejects, in a new folder."""
    from k2core.tables import write_shard

    if out.exists():
        raise MendableError(f"{out} exists: name a new folder")
    for kind, passed in (("accepted", True), ("rejects", False)):
        kept = [row for row in rows if (not row["reason"]) == passed]
        if kept:
            write_shard(out / kind / "00000.parquet", TrajectoryRow, kept)


def export_set(target: str, out: Path, *, as_json: bool = False) -> None:
    """Write a set's accepted dialogues as JSON lines, aside and then renamed."""
    aside, count = out.with_name(f".{out.name}.aside"), 0
    with aside.open("w", encoding="utf-8") as file:
        for shard in list_shards(find_set(target) / "accepted"):
            for row in read_shard(shard, TrajectoryRow).iter_rows(named=True):
                dialogue = from_row(row)
                line = to_line(dialogue.messages, dialogue.problem.tools)
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
    aside.rename(out)
    if as_json:
        print_json({"dialogues": count, "out": out})
    else:
        typer.echo(f"{count:,} dialogues written to {out}")


def validate_file(path: Path, *, as_json: bool = False) -> bool:
    """Print every fault of a file of dialogues; whether there is none."""
    if not path.is_file():
        raise MendableError(f"{path} is no file")
    faults, lines = 0, set()
    with path.open(encoding="utf-8", errors="replace") as file:
        if as_json:
            rows = [{"line": number, "fault": fault} for number, fault in validate_lines(file)]
            print_json({"file": path, "faults": rows})
            return not rows
        for number, fault in validate_lines(file):
            faults += 1
            lines.add(number)
            if faults <= _SHOWN_FAULTS:
                typer.echo(f"{path}:{number}: {fault}")
    if faults:
        more = f", {faults - _SHOWN_FAULTS} not shown" if faults > _SHOWN_FAULTS else ""
        typer.echo(f"{faults} faults in {len(lines)} dialogues{more}")
    else:
        typer.echo(f"{path}: every dialogue follows K2's form")
    return not faults


def find_set(target: str) -> Path:
    """The folder of a trajectory set: of a run, by digest, or the newest."""
    remedy = "`k2 synthesize` makes some"
    return published_folder(find_kind(target, "trajectory_set", remedy))
