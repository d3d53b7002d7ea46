"""`k2 attest` and `k2 keys`: signs what was recorded of a release."""

from pathlib import Path
from typing import Annotated

import typer

from workflows.as_json import Json, print_json

app = typer.Typer()
keys_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""The key that attestations are signed with.

    Example: `k2 keys new`
    """,
)
app.add_typer(keys_app, name="keys")


@app.command()
def attest(
    target: Annotated[str, typer.Argument(help="A run's name or a release's digest.")] = "latest",
    key: Annotated[
        Path | None,
        typer.Option(help="Private key; default: K2_SIGNING_KEY, or one made in the home."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder: the release with its attestations.")
    ] = None,
    builder: Annotated[
        str, typer.Option(help="URI of who ran the stages, for the provenance.")
    ] = "urn:k2:builder",
    sigstore: Annotated[
        bool, typer.Option("--sigstore", help="Sign by your identity, too: takes a network.")
    ] = False,
    token: Annotated[
        str,
        typer.Option(
            "--identity-token",
            envvar="K2_IDENTITY_TOKEN",
            help="OpenID token of who signs; default: the machine's own, as of GitHub Actions.",
        ),
    ] = "",
    staging: Annotated[
        bool, typer.Option("--staging", help="By Sigstore's instance for tests.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sign a release: models, provenance of each stage, bill of materials, data sets, summary.

    The files are kept with MLflow's run of the release; --out writes them beside a copy of it, for
    a stranger to verify (docs/audit.md).

    Example: `k2 attest tiny-1128-1400 --out ~/k2-tiny`
    """
    from workflows.attest.keys import signing_key
    from workflows.attest.write import attest as write

    keyless = None
    if sigstore:
        from workflows.attest.identity import KeylessSigner

        keyless = KeylessSigner(token, staging=staging)
    made = write(target, signing_key(key), builder, out, keyless)
    if as_json:
        about = {"release": made.facts.release, "run": made.facts.maker.run.tags["flyte_run"]}
        print_json({**about, "files": made.files, "key": made.key.name, "copy": made.copy})
        return
    typer.echo(f"attested {made.facts.release.digest} of {made.facts.maker.run.tags['flyte_run']}")
    typer.echo(f"  {len(made.files)} files in attestations/ of MLflow's release run")
    typer.echo(f"  signed by {made.key.path}, public key {made.key.name}")
    if made.copy:
        typer.echo(f"  the release with its attestations: {made.copy}")


@keys_app.command()
def new(
    path: Annotated[
        Path | None,
        typer.Argument(help="Default: K2_SIGNING_KEY, or keys/signing.pem of the home."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a private key (NIST P-256, mode 0600) and its public half beside it.

    Example: `k2 keys new ~/.keys/release.pem`
    """
    from workflows.attest.keys import default_key, make_key

    made = make_key(path or default_key())
    public = made.path.with_suffix(".pub")
    if as_json:
        print_json({"private": made.path, "public": public, "name": made.name})
    else:
        typer.echo(f"private  {made.path}\npublic   {public}\nnamed    {made.name}")


@keys_app.command()
def show(
    path: Annotated[
        Path | None, typer.Argument(help="A private key; default: as of `k2 keys new`.")
    ] = None,
) -> None:
    """Print the public half of the key.

    Example: `k2 keys show > public.pem`
    """
    from workflows.attest.keys import default_key, read_key

    typer.echo(read_key(path or default_key()).public.decode(), nl=False)
