"""A corpus' report on the terminal, and as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Column, Table

from infra.home import home
from infra.reports import table_html
from workflows.corpus_report import CorpusReport, Dropped, ReportedDocument
from workflows.show import console, show_line

_SHOWN = 120


def show_corpus(report: CorpusReport, out: Path | None, page: Path) -> None:
    """The funnel, what was lost on the way, examples, and where to look."""
    console.print(_sources(report))
    if report.unread:
        console.print(_unread(report))
    console.print(_funnel(report))
    show_line("kept, for example", "bold")
    for example in report.kept_examples:
        _show_example(example, "")
    for dropped in report.dropped:
        show_line(f"dropped by {dropped.rule}: {dropped.reason}", "bold")
        for example in dropped.examples:
            _show_example(example, f" (measured {_against(example)})")
    where = {
        "as a page": str(page),
        "one document": "k2 why PATH_OR_URL",
        "all of it": f"k2 lineage {report.run}",
    }
    if out is not None:
        where |= {
            "the corpus": f"{out}  (parquet, with a data card)",
            "train on it": f"k2 run --recipe {out / 'recipe.yaml'}",
        }
    show_line("where to look", "bold")
    for what, place in where.items():
        show_line(f"  {what:<13} {place}")


def write_page(report: CorpusReport) -> Path:
    """The same as HTML, beside the stages' reports."""
    tables: Mapping[str, Sequence[Mapping[str, object]]] = {
        f"Corpus {report.run}": [_summary(report)],
        "Sources": [asdict(row) for row in report.sources],
        "Not read, left out or repaired": [asdict(row) for row in report.unread],
        "Dropped, by rule": [_about(row) for row in report.dropped],
        "Kept, for example": [
            {"doc_id": e.doc_id, "path": e.path, "text": e.text} for e in report.kept_examples
        ],
        "Dropped, for example": [
            {"rule": f"{row.rule}: {row.reason}", **asdict(example)}
            for row in report.dropped
            for example in row.examples
        ],
        "Replaced in kept documents": [report.redacted] if report.redacted else [],
    }
    path = home() / "reports" / report.run / "corpus.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".aside")
    aside.write_text("\n".join(table_html(title, rows) for title, rows in tables.items() if rows))
    aside.replace(path)
    return path


def _summary(report: CorpusReport) -> dict[str, object]:
    return {
        "documents": report.documents,
        "kept": report.kept,
        "tokens": report.tokens,
        "kept tokens": report.kept_tokens,
        "tokens are": _how(report),
    }


def _how(report: CorpusReport) -> str:
    return "as its own tokenizer counts" if report.counted else "four bytes each, an estimate"


def _about(row: Dropped) -> dict[str, object]:
    return {
        "domain": row.domain,
        "rule": row.rule,
        "reason": row.reason,
        "documents": row.documents,
        "tokens": row.tokens,
    }


def _against(example: ReportedDocument) -> str:
    return f"{example.measured:g} against {example.threshold:g}"


def _show_example(example: ReportedDocument, more: str) -> None:
    show_line(f"  {example.path}{more}")
    text = " ".join(example.text.split())
    show_line(f"    {text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}", "dim")


def _numbers(name: str) -> Column:
    return Column(name, justify="right")


def _sources(report: CorpusReport) -> Table:
    columns = ("source", "domain", "licence", "where")
    numbers = (_numbers("documents"), _numbers("kept"))
    table = Table(*columns, *numbers, title=f"corpus {report.run}")
    for row in report.sources:
        named = map(escape, (row.name, row.domain, row.license, row.place))
        table.add_row(*named, f"{row.documents:,}", f"{row.kept:,}")
    return table


def _unread(report: CorpusReport) -> Table:
    table = Table("", "reason", _numbers("records"), "for example", title="not as it lay there")
    for row in report.unread:
        case = f"{row.file}{f' ({row.place})' if row.place else ''}"
        case += f": {row.detail}" if row.detail else ""
        table.add_row(row.what, escape(row.reason), f"{row.count:,}", escape(case[:_SHOWN]))
    return table


def _funnel(report: CorpusReport) -> Table:
    numbers = (_numbers("documents"), _numbers("tokens"))
    table = Table("", "domain", *numbers, title="funnel", caption=f"tokens: {_how(report)}")
    table.add_row("read", "", f"{report.documents:,}", f"{report.tokens:,}")
    for row in report.dropped:
        name = escape(f"{row.rule}: {row.reason}")
        table.add_row(name, row.domain, f"-{row.documents:,}", f"-{row.tokens:,}")
    table.add_section()
    table.add_row("kept", "", f"{report.kept:,}", f"{report.kept_tokens:,}")
    return table
