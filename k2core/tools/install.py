"""Installs an MCP server's pinned package into a folder of its own; whole or not at all."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from k2core.tools.catalogue import ServerEntry

_TIMEOUT_S = 900
_PROSE = {"MIT": r"\bMIT\b", "Apache-2.0": r"\bApache[ -]", "BSD-3-Clause": r"\bBSD\b"}


class InstallError(RuntimeError):
    """A package that cannot be had, does not install, or is under another licence."""


def install_server(entry: ServerEntry, root: Path, constraints: Path) -> Path:
    """The package's home below `root`, installed if it is not yet.

    No install script of an npm package runs: what would fetch binaries elsewhere is left out.

    Raises:
        InstallError: the ecosystem's client is missing or fails, or the licence is another.
    """
    folder = root / f"{entry.name}-{entry.key}"
    if not folder.exists():
        for old in root.glob(f"{entry.name}-" + "[0-9a-f]" * 16):
            shutil.rmtree(old)
        shutil.rmtree(aside := root / f".{entry.name}", ignore_errors=True)
        aside.mkdir(parents=True)
        if entry.ecosystem == "npm":
            _install_npm(entry, aside)
        else:
            _install_pypi(entry, aside, folder, constraints)
        aside.rename(folder)
    check_license(entry, folder)
    return find_home(entry, folder)


def find_home(entry: ServerEntry, folder: Path) -> Path:
    """What `{home}` stands for."""
    return folder / "node_modules" / entry.package if entry.ecosystem == "npm" else folder / "env"


def check_license(entry: ServerEntry, folder: Path) -> None:
    """Hold the catalogue's licence against the installed package's own words.

    Raises:
        InstallError: they differ.
    """
    read = _npm_license if entry.ecosystem == "npm" else _pypi_license
    stated = read(entry, folder)
    pattern = _PROSE.get(entry.license, re.escape(entry.license))
    if stated != entry.license and not re.search(pattern, stated):
        raise InstallError(
            f"servers.yaml says {entry.license}, {entry.source} itself {stated[:80] or 'nothing'!r}"
        )


def _install_npm(entry: ServerEntry, folder: Path) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise InstallError("node and npm are not installed (Debian: apt-get install nodejs npm)")
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--no-save")
    package = f"{entry.package}@{entry.version}"
    _run(["npm", "install", "--prefix", str(folder), *quiet, f"--before={entry.before}", package])


def _install_pypi(entry: ServerEntry, aside: Path, folder: Path, constraints: Path) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", str(aside / "env")])
    pip = [sys.executable, "-m", "pip", "--python", str(aside / "env" / "bin" / "python")]
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-q")
    _run([*pip, "install", *quiet, "--no-compile", "-c", str(constraints), entry.source])
    for script in (aside / "env" / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            body = script.read_bytes()
            script.write_bytes(body.replace(str(aside).encode(), str(folder).encode()))


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"{command[0]} took more than {_TIMEOUT_S} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise InstallError(f"{Path(command[0]).name} failed ({done.returncode}): {said[-400:]}")


def _npm_license(entry: ServerEntry, folder: Path) -> str:
    home = find_home(entry, folder)
    stated = str(json.loads((home / "package.json").read_text()).get("license", ""))
    if not stated.startswith("SEE LICENSE"):
        return stated
    texts = [p for name in ("LICENSE", "LICENSE.md", "README.md") if (p := home / name).is_file()]
    return _license_lines("\n".join(p.read_text(errors="replace") for p in texts))


def _pypi_license(entry: ServerEntry, folder: Path) -> str:
    site = sorted(map(str, (folder / "env").glob("lib/python3*/site-packages")))
    for package in distributions(name=entry.package, path=site):
        fields = package.metadata
        stated = [*(fields.get_all("License-Expression") or []), *(fields.get_all("License") or [])]
        stated += [c for c in fields.get_all("Classifier") or [] if c.startswith("License ::")]
        texts = [p for p in package.files or [] if p.name.upper().startswith("LICENSE")]
        stated += [Path(str(p.locate())).read_text(errors="replace")[:200] for p in texts]
        return " ".join(stated) or _license_lines(str(package.metadata.json["description"]))
    raise InstallError(f"{entry.source} did not install itself")


def _license_lines(text: str) -> str:
    """What a package says of its licence in prose."""
    return " ".join(
        line for line in text.splitlines() if re.search("licen[sc]e", line, re.IGNORECASE)
    )
