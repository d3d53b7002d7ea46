"""The auditor's commands of `k2`."""

from pathlib import Path
from typing import Annotated

import typer

from workflows.as_json import Json
from workflows.exits import fail

app = typer.Typer()
Target = Annotated[str, typer.Argument(help="A run's name or an artifact's digest.")]


@app.command()
def index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="From MLflow, anew.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the index of recorded runs up to date; every question does so first.

    Example: `k2 index --rebuild`
    """
    from infra.index import RunIndex
    from workflows.audit.answer import AuditAnswer

    with RunIndex(rebuild=rebuild) as found:
        runs = found.rows("select count(*) as number from runs")[0]["number"]
        edges = found.rows("select count(*) as number from edges")[0]["number"]
        rows = [{"runs": runs, "edges": edges, "file": str(found.path)}]
        AuditAnswer(f"{runs:,} runs, {edges:,} edges", rows).show(as_json)


@app.command()
def verify(
    target: Annotated[
        str, typer.Argument(help="A run's name, an artifact's digest, or a folder.")
    ] = "latest",
    key: Annotated[
        Path | None,
        typer.Option(help="Public key that a release must be signed with; default: the enclosed."),
    ] = None,
    identity: Annotated[
        str, typer.Option(help="Who must have signed by Sigstore: an e-mail address or a URI.")
    ] = "",
    issuer: Annotated[str, typer.Option(help="Who vouches for it, as https://...")] = "",
    staging: Annotated[
        bool, typer.Option("--staging", help="By Sigstore's instance for tests.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recompute every digest along a chain; name the first that diverged.

    A folder is verified by what is in it alone: a downloaded release, a model with its card, an
    object of a store. Signatures and statements (`k2 attest`) are verified where there are any;
    with --key there must be some, by that key. Ends with 0 if all is as recorded, 1 if something
    diverged, 2 if there is no such thing.

    Example: `k2 verify tiny-1128-1400` or `k2 verify ~/Downloads/k2-tiny`
    """
    from workflows.verify import verify as check

    by = None
    if identity or issuer:
        from workflows.attest.identity import Signatory

        if not (identity and issuer):
            raise fail("--identity and --issuer go together: a name, and who vouches for it")
        by = Signatory(identity, issuer, staging)
    raise typer.Exit(0 if check(target, key, as_json, by) else 1)


@app.command()
def ancestors(target: Target = "latest", as_json: Json = False) -> None:
    """All artifacts that a run's release, or any artifact, descends from.

    Example: `k2 ancestors tiny-1128-1400`
    """
    from workflows.audit.relatives import relatives

    relatives(target, forward=False).show(as_json)


@app.command()
def descendants(target: Target, as_json: Json = False) -> None:
    """All artifacts that came of one.

    Example: `k2 descendants 0068c1e7a40f`
    """
    from workflows.audit.relatives import relatives

    relatives(target, forward=True).show(as_json)


@app.command()
def used(
    code: Annotated[str, typer.Option(help="A commit, or its beginning.")] = "",
    license: Annotated[str, typer.Option(help="Of a source of text, as it is recorded.")] = "",
    package: Annotated[str, typer.Option(help="NAME or NAME==VERSION.")] = "",
    corpus: Annotated[str, typer.Option(help="A corpus' digest.")] = "",
    as_json: Json = False,
) -> None:
    """The pipelines that used a code version, a licence, a package or a corpus, however far back.

    Example: `k2 used --license CC-BY-SA-4.0`
    """
    from workflows.audit.relatives import used as find

    find(code, license, package, corpus).show(as_json)


@app.command()
def saw(
    document: Annotated[str, typer.Argument(help="A document's id.")], as_json: Json = False
) -> None:
    """The checkpoints whose training read a document or a rewrite of it.

    Example: `k2 saw 3f2a91c08d5e7b64`
    """
    from workflows.audit.documents import saw as find

    find(document).show(as_json)


@app.command()
def step(
    number: Annotated[int, typer.Argument(min=0, help="Of the pre-training, from 0.")],
    target: Annotated[str, typer.Option("--of", help="A run or a checkpoint.")] = "latest",
    as_json: Json = False,
) -> None:
    """The documents that a step of pre-training read.

    Example: `k2 step 17 --of tiny-1128-1400`
    """
    from workflows.audit.documents import step as find

    find(number, target).show(as_json)


@app.command()
def diff(one: Target, other: Target, as_json: Json = False) -> None:
    """What differs between two runs or artifacts: configs, data, code, environment, scores.

    Example: `k2 diff tiny-1128-1400 tiny-1128-1515`
    """
    from workflows.audit.compare import diff as compare

    compare(one, other).show(as_json)


@app.command()
def score(
    family: Annotated[str, typer.Argument(help="A family of problems.")],
    target: Annotated[str, typer.Option("--of", help="A run or a release.")] = "latest",
    checkpoint: Annotated[str, typer.Option(help="base, sft or policy.")] = "policy",
    as_json: Json = False,
) -> None:
    """Where a score came from: the weights, the evaluation and every answer that was counted.

    Example: `k2 score lookup --of tiny-1128-1400`
    """
    from workflows.audit.scores import score as find

    find(target, family, checkpoint).show(as_json)


@app.command()
def gc(
    days: Annotated[float, typer.Option(min=0, help="Untouched for so long.")] = 7.0,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it.")] = False,
    as_json: Json = False,
) -> None:
    """What of the store no recorded run reaches. Nothing goes without --delete.

    Example: `k2 gc --days 30`
    """
    from workflows.audit.garbage import collect

    collect(days, delete).show(as_json)


@app.command()
def forget(
    document: Annotated[str, typer.Argument(help="A document's id.")],
    write: Annotated[bool, typer.Option("--write", help="Exclude it from the next clean.")] = False,
    as_json: Json = False,
) -> None:
    """What descends from a document, and its exclusion from all that is made next.

    Example: `k2 forget 3f2a91c08d5e7b64 --write`
    """
    from workflows.audit.documents import forget as find

    find(document, write).show(as_json)
