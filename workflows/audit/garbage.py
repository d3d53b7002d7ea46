"""`k2 gc`: what of the store no recorded run reaches, and its deletion when it is asked for."""

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

from infra.home import last_harvest
from infra.index import RunIndex
from k2core.store import Garbage
from tasks.store import open_store
from workflows.audit.answer import AuditAnswer
from workflows.errors import MendableError


class Unreachable(NamedTuple):
    """Something that nobody asks for any more."""

    what: str
    name: str
    size: int
    days: float


def collect(days: float, delete: bool) -> AuditAnswer:
    """What has not been touched for so many days, and no run, lease or harvest names.

    Raises:
        MendableError: it is to be deleted while a stage is at work.
    """
    store = Garbage(open_store())
    with RunIndex() as index:
        reached = _reached(index)
    found = [u for u in _unreachable(store, reached) if u.days >= days]
    if delete:
        if held := store.held():
            works = "; ".join(f"{key} ({holder})" for key, holder in held.items())
            raise MendableError(f"nothing is deleted while a stage is at work: {works}")
        for each in found:
            if each.what == "work":
                store.delete_work(each.name)
            else:
                store.delete_object(each.name)
    size = sum(each.size for each in found)
    done = "deleted" if delete else "would go with --delete"
    rows = [u._asdict() | {"days": round(u.days, 1)} for u in found]
    return AuditAnswer(f"{len(found)} unreachable, {size:,} bytes, {done}", rows)


def _unreachable(store: Garbage, reached: set[str]) -> Iterator[Unreachable]:
    held = store.held()
    for name, entry in sorted(store.objects().items()):
        if name not in reached:
            yield Unreachable("object", name, entry.size, _age(entry.changed))
    for key, entry in sorted(store.works().items()):
        if key not in held:
            yield Unreachable("work", key, entry.size, _age(entry.changed))


def _reached(index: RunIndex) -> set[str]:
    """Names of objects that a run, of whatever end, used or made, or that the last harvest is."""
    digests = {row["digest"] for row in index.rows("select distinct digest from edges")}
    for run in index.runs():
        for way in ("inputs", "outputs"):
            digests |= set(json.loads(run.tags.get(way, "{}")).values())
    if last_harvest().exists():
        digests.add(json.loads(last_harvest().read_text())["digest"])
    return {digest.removeprefix("sha256:") for digest in digests}


def _age(changed: float) -> float:
    return max(0.0, (time.time() - changed) / 86_400)
