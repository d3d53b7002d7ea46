"""Lists of domains, addresses and words that no page's address may hold, read from files."""

import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import fsspec

from k2core.store import let_fsspec_reach_buckets
from schemas.selection import BlockList, UrlRules

_PACKAGE = "package://"
_SIGNS = re.compile(r"[\W_]+")
# Laxer than RFC 1035: lists that are read off the web hold labels with outer hyphens.
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class BlockListError(ValueError):
    """A list that cannot be read; the message names file and line."""


class BlockLists(NamedTuple):
    """What a config's lists hold, in the form that addresses are compared in."""

    domains: frozenset[str]
    addresses: frozenset[str]
    subwords: tuple[str, ...]
    words: frozenset[str]
    soft_words: frozenset[str]


@cache
def load_lists(rules: UrlRules) -> BlockLists:
    """Read all lists of a config, once a process.

    Raises:
        BlockListError: a file is not there or not the one that was asked for, or a line is bad.
    """
    return BlockLists(
        _gather(rules.domains, read_domain),
        _gather(rules.addresses, shorten),
        tuple(sorted(_gather(rules.banned_subwords, _squeeze))),
        _gather(rules.banned_words, _squeeze),
        _gather(rules.soft_words, _squeeze),
    )


def read_domain(text: str) -> str:
    """A domain, or a top one, in lower case and ASCII (IDNA), without a last dot; or nothing."""
    name = to_ascii(text.lower().rstrip("."))
    return name if _DOMAIN.fullmatch(name) else ""


def to_ascii(host: str) -> str:
    """A host's name as the domain name system has it; empty if it cannot be one."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return ""


def shorten(address: str) -> str:
    """What two addresses of one page share: no scheme, `#part` or last slash; the host in ASCII.

    Empty if there is no host.
    """
    bare = _SCHEME.sub("", address.strip())
    try:
        parts = urlsplit(f"//{bare}")
        host, port = to_ascii(parts.hostname or ""), parts.port
    except ValueError:  # a port or an IPv6 address that is none
        return ""
    where = f"{host}:{port}" if port else host
    query = f"?{parts.query}" if parts.query else ""
    return f"{where}{parts.path}".rstrip("/") + query if host else ""


def split_words(address: str) -> list[str]:
    """Letters and digits between signs, in lower case."""
    return [word for word in _SIGNS.split(address.lower()) if word]


def _squeeze(text: str) -> str:
    return "".join(split_words(text))


def _gather(lists: Sequence[BlockList], read: Callable[[str], str]) -> frozenset[str]:
    return frozenset(entry for each in lists for entry in _read_entries(each, read))


def _read_entries(source: BlockList, read: Callable[[str], str]) -> Iterator[str]:
    data = _read_file(source)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise BlockListError(f"{source.path}, line {number} is no UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        entry = "" if len(text.split()) > 1 and read is not _squeeze else read(text)
        if not entry:
            wanted = _WANTED[read]
            raise BlockListError(f"{source.path}, line {number}: {text[:80]!r} is no {wanted}")
        yield entry


_WANTED: dict[Callable[[str], str], str] = {
    read_domain: "domain; one a line is wanted, e.g. example.org (of a hosts file its second word)",
    shorten: "address; one a line is wanted, e.g. example.org/page",
    _squeeze: "word: it holds neither letters nor digits",
}


def _read_file(source: BlockList) -> bytes:
    let_fsspec_reach_buckets()
    path = "::".join(map(_locate, source.path.split("::")))
    try:
        with fsspec.open(path, "rb", compression="infer") as stream:
            data: bytes = stream.read()
    except (OSError, ValueError, ImportError) as error:
        raise BlockListError(f"{source.path} cannot be read: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if source.sha256 and source.sha256 != found:
        raise BlockListError(
            f"{source.path} has SHA-256 {found}, not {source.sha256}: restore the file, or state "
            "the new one's in the config"
        )
    return data


def _locate(path: str) -> str:
    if not path.startswith(_PACKAGE):
        return path
    name, _, inside = path.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise BlockListError(
            f"{path}: {name!r} is no installed package; pip install --no-deps {name}"
        )
    return str(Path(folders[0]) / inside)
