"""Style prompts: versioned files with a heading that says which texts they fit."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from k2core.rephrase.language import detect_language
from k2core.rephrase.sample import RewriteSource
from schemas.errors import InputsError

FOLDER = Path(__file__).with_name("prompts")
_PROSE = "web"
"""Whose styles fit texts of a domain that no style names."""


class Style(NamedTuple):
    """How to rewrite: perspective and form, for diversity (arXiv:2507.20534, section 2.2)."""

    prompt_id: str
    """`NAME@VERSION`."""
    domains: tuple[str, ...]
    languages: tuple[str, ...]
    """Of the text: `en`, or `other` to be translated."""
    instruction: str

    @property
    def digest(self) -> str:
        """SHA-256 of the instruction, hex: a version that was edited without a bump shows."""
        return hashlib.sha256(self.instruction.encode()).hexdigest()


class RewriteJob(NamedTuple):
    """A document to rewrite in a style."""

    document: RewriteSource
    style: Style


def load_styles(names: Iterable[str] = (), folder: Path = FOLDER) -> list[Style]:
    """Read the styles named, or all.

    Raises:
        ValueError: a name is unknown, or a file's heading lacks a field.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.md"))}
    wanted = sorted(set(names)) or sorted(paths)
    if strange := [name for name in wanted if name not in paths]:
        raise InputsError(f"rephrase.styles: unknown {strange}; there are {sorted(paths)}")
    return [_read_style(paths[name]) for name in wanted]


def _read_style(path: Path) -> Style:
    _, heading, body = path.read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(heading)
    if set(fields) != {"version", "domains", "languages"}:
        raise ValueError(
            f"{path}: the heading has {sorted(fields)}, expected domains, languages and version"
        )
    name, domains = f"{path.stem}@{fields['version']}", tuple(fields["domains"])
    return Style(name, domains, tuple(fields["languages"]), body.strip())


def assign_styles(
    documents: Sequence[RewriteSource], styles: Sequence[Style], per_document: int, seed: int
) -> list[RewriteJob]:
    """Give each document its styles by hash; a document never gets one twice.

    Raises:
        InputsError: fewer styles fit a document's domain than it is to be rewritten.
    """
    jobs = []
    named = {domain for style in styles for domain in style.domains}
    for document in documents:
        language = detect_language(document.text)
        domain = document.domain if document.domain in named else _PROSE
        fitting = [s for s in styles if domain in s.domains and language in s.languages]
        if len(fitting) < per_document:
            raise InputsError(
                f"{len(fitting)} of the styles {[s.prompt_id for s in styles]} fit "
                f"{document.domain} text in {language!r}, which is to be rewritten {per_document} "
                f"times (document {document.path})"
            )
        key = f"{seed}\0{document.doc_id}".encode()
        fitting.sort(key=lambda s: hashlib.sha256(key + s.prompt_id.encode()).digest())
        jobs += [RewriteJob(document, style) for style in fitting[:per_document]]
    return jobs
