"""`k2 data`: somebody's own text, from files to a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.as_json import Json
from workflows.exits import fail

if TYPE_CHECKING:
    from schemas.ingest import FilesConfig
    from workflows.corpus import Through

app = typer.Typer()


@app.command()
def data(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DOMAIN=]PLACE...",
            help="Folders, files, https://, hf://, s3://, gs://. A domain before it says what its "
            "texts are, e.g. `mails=~/mail.mbox`: knowledge, web, code, math, or a name of yours. "
            "None: the sources of the recipe.",
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Rules and sizes: a recipe's name or your own YAML file.")
    ] = "tiny",
    domain: Annotated[str, typer.Option(help="Of places that name none.")] = "web",
    license: Annotated[
        str, typer.Option(help="Of all texts that do not state their own, as SPDX.")
    ] = "unstated",
    pattern: Annotated[str, typer.Option(help="Which files, by path: `*.jsonl`, `2024/*`.")] = "*",
    column: Annotated[
        str, typer.Option(help="Field or column with the text; `data.text` lies inside another.")
    ] = "text",
    language: Annotated[
        str | None, typer.Option(help="Keep texts in it, as ISO 639 codes: `fr`, `fr,es`; else en.")
    ] = None,
    tokenize: Annotated[
        bool, typer.Option("--tokenize", help="Then train a tokenizer and write token files.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Then train the recipe's base model on them, too.")
    ] = False,
    vocab_size: Annotated[
        int | None, typer.Option(min=300, help="Tokens of the tokenizer; small for small corpora.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write parquet, a data card, the report and a recipe into this folder."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field: `--set clean.web.fineweb={}`. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read, clean and count your own text: what came in, what was dropped and why, what is kept.

    HTML, Markdown, text, source, notebooks, JSON, CSV, parquet, Arrow, WARC, mails, EPUB, PDF and
    DOCX, also compressed; what a file is its content says. What was done before is cached, what was
    killed resumes, files that changed are read anew. `k2 why PATH` tells a document's story.

    Example: `k2 data ~/notes mails=~/mail.mbox --license CC0-1.0 --tokenize --out corpus`
    """
    sizes = [f"{stage}.vocab_size={vocab_size}" for stage in ("tokenize", "model") if vocab_size]
    of_language = [] if language is None else [f"clean.languages={state_languages(language)}"]
    changes = [*sizes, *of_language, *(settings or [])]
    sources = state_sources(places or [], domain, license, pattern, column)
    through: Through = "pretrain" if train else "tokenize" if tokenize else "clean"
    _make(recipe, sources, changes, through, out and out.expanduser().absolute(), as_json)


def _make(
    recipe: str,
    sources: "tuple[FilesConfig, ...]",
    settings: list[str],
    through: "Through",
    out: Path | None,
    as_json: bool,
) -> None:
    from workflows.corpus_out import check_out, write_corpus
    from workflows.recipe_files import load_recipe
    from workflows.sources import settle_files

    if out:
        check_out(out)
    base = load_recipe(recipe, [])
    if not sources and not base.ingest.files:
        raise fail("name at least one folder, file or address, or a --recipe that has some")

    from workflows.corpus import corpus_recipe, make_corpus
    from workflows.corpus_report import read_corpus
    from workflows.corpus_show import show_corpus, write_page

    changed = settle_files(corpus_recipe(base, sources, settings))
    report = read_corpus(make_corpus(changed, through))
    page = write_page(report)
    if out:
        write_corpus(report, changed, page, out)
    if as_json:
        typer.echo(report.as_json())
    else:
        show_corpus(report, out, page)


def state_sources(
    places: list[str], domain: str, license: str, pattern: str, column: str
) -> "tuple[FilesConfig, ...]":
    """The sources as a config states them, each with a name of its own.

    Raises:
        MendableError: a domain is no name, or a place is empty.
    """
    from pydantic import ValidationError

    from schemas.ingest import FilesConfig
    from workflows.errors import MendableError
    from workflows.sources import absolute

    found: dict[str, FilesConfig] = {}
    for place in places:
        own, equals, rest = place.partition("=")
        named = bool(equals) and "/" not in own and not Path(place).exists()
        folder = rest if named else place
        name = _name_after(folder)
        number = sum(each.partition("-")[0] == name for each in found)
        if not folder:
            raise MendableError(f"{place!r} names no place: a folder, a file or an address")
        try:
            files = FilesConfig(
                folder=absolute(folder),
                name=f"{name}-{number + 1}" if number else name,
                domain=own if named else domain,
                license=license,
                pattern=pattern,
                text_field=column,
            )
        except ValidationError as error:
            first = error.errors()[0]
            wrong = ".".join(map(str, first["loc"]))
            raise MendableError(f"{place}: {wrong}: {first['msg']}") from None
        found[files.name] = files
    return tuple(found.values())


def state_languages(language: str) -> str:
    """Codes between commas as a setting.

    Raises:
        MendableError: there is none, or no text is ever found to be in it.
    """
    from k2core.clean.language import known_languages
    from workflows.errors import MendableError

    codes = [code for each in language.split(",") if (code := each.strip().lower())]
    known = known_languages()
    unknown = [code for code in codes if code not in known]
    if unknown or not codes:
        wrong = f"nobody tells texts in {unknown[0]!r}" if unknown else "it names none"
        raise MendableError(f"--language {language}: {wrong}; there are {', '.join(known)}")
    return f"[{', '.join(map(repr, codes))}]"


def _name_after(place: str) -> str:
    """What a source is called: the folder's or file's name."""
    last = place.rstrip("/").rpartition("/")[2] or place
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in last.partition(".")[0])
    return name.strip("_")[:40] or "files"
