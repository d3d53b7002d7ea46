"""`k2 import` and `k2 push`: models that come from elsewhere, and that go out."""

from typing import Annotated

import typer

from workflows.as_json import Json
from workflows.exits import fail

app = typer.Typer()


@app.command(name="import")
def bring(
    source: Annotated[
        str, typer.Argument(help="A folder, hf://ORG/NAME@REVISION or s3://BUCKET/FOLDER.")
    ],
    license: Annotated[str, typer.Option(help="Of its weights; default: what its card says.")] = "",
    add_chat_tokens: Annotated[
        bool, typer.Option("--add-chat-tokens", help="Give K2's special tokens unused rows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a checkpoint of K2's architecture, with its tokenizer, as an artifact.

    DeepSeek-V3's form: in shards or one file, bf16, fp32 or block-scaled FP8. No code of it is run.

    Example: `k2 import ~/moonlight --license MIT`, then `k2 run --base ~/moonlight`
    """
    from workflows.bring import import_model
    from workflows.show import show_outputs

    name, made = import_model(source, license, add_chat_tokens=add_chat_tokens)
    show_outputs(name, made, as_json=as_json)


@app.command()
def push(
    target: Annotated[str, typer.Argument(help="A run's name or a release's digest.")] = "latest",
    to: Annotated[str, typer.Option(help="ORG/NAME of the Hub, or a folder as ./NAME.")] = "",
    model: Annotated[
        str, typer.Option(help="Of the release: policy, base, policy-bf16, base-bf16.")
    ] = "policy",
    public: Annotated[bool, typer.Option("--public", help="A repository that all see.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send; without it nothing leaves.")] = False,
    as_json: Json = False,
) -> None:
    """Send a released model to the Hub or to a folder; without --yes, say what would be sent.

    Refused are files that are not those that were released, a failed proof, and secrets.

    Example: `k2 push --to my-org/my-model --model policy-bf16`, then the same with `--yes`
    """
    if not to:
        raise fail("--to: name ORG/NAME of the Hub, or a folder as ./NAME")
    from workflows.push import pack, send
    from workflows.show import show_parcel

    parcel = pack(target, model, to)
    sent = send(parcel, private=not public) if yes else ""
    show_parcel(parcel, sent, as_json=as_json)
