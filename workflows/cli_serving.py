"""`k2 chat`, `k2 serve` and `k2 verify-serving`: talk to a model, serve it, hold it to its word."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from infra.home import home
from workflows.as_json import Json

app = typer.Typer()


@app.command()
def chat(
    model: Annotated[
        str, typer.Argument(help="A folder, a run's name, or a release's or checkpoint's digest.")
    ] = "latest",
    say: Annotated[str | None, typer.Option(help="Say this, print what follows, end.")] = None,
    url: Annotated[str, typer.Option(help="Talk to this OpenAI-compatible endpoint instead.")] = "",
    name: Annotated[str, typer.Option(help="The model's name at --url.")] = "k2",
    key: Annotated[str, typer.Option(help="Environment variable with the key of --url.")] = "",
    mcp: Annotated[
        str, typer.Option(help="A live MCP server's tools, in a jail: time, sqlite, git, ...")
    ] = "",
    problem: Annotated[
        str | None, typer.Option(help="Pose a held-out problem of this family instead, and judge.")
    ] = None,
    number: Annotated[int, typer.Option(min=0, help="Which of the family's problems.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 is greedy.")] = 0.0,
) -> None:
    """Talk to the newest release's policy, to any model that `k2 serve` serves, or to an endpoint.

    Two tools, add and multiply, are declared to it and really run; or those of --mcp. /help lists
    commands, Ctrl-C stops an answer, Ctrl-D ends; piped in, each line is a turn.

    Example: `k2 chat --say "What is 12 * 34?"` or `k2 chat --problem lookup --number 3`
    """
    from workflows.endpoints import endpoint_at
    from workflows.talking import talk

    if problem is not None:
        from workflows.chat import solve

        solve(model, problem, number, temperature)
        return
    where = endpoint_at(url, name, key, temperature=temperature) if url else model
    talk(where, None if say is None else [say], temperature, mcp, key)


@app.command()
def serve(
    model: Annotated[
        str, typer.Argument(help="A folder, a run's name, or a release's or checkpoint's digest.")
    ] = "latest",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    max_num_seqs: Annotated[int, typer.Option(min=1, help="Requests in one batch.")] = 16,
    free: Annotated[
        bool, typer.Option("--free", help="Without the enforcer: calls may break their schema.")
    ] = False,
) -> None:
    """Serve a model over OpenAI's chat interface, by vLLM, on CPU or GPU.

    Calls are read by token ids, and held to their tools' schemas while they are written.

    Example: `k2 serve latest --port 8000`
    """
    from workflows.serve import serve_model

    serve_model(model, host, port, max_num_seqs, free=free)


@app.command(name="verify-serving")
def verify_serving(
    url: Annotated[str, typer.Argument(help="Base address, e.g. http://127.0.0.1:8000/v1.")],
    model: Annotated[str, typer.Option(help="The model's name there.")] = "k2",
    count: Annotated[int, typer.Option(min=1, help="Requests, each whole and as a stream.")] = 240,
    seed: Annotated[int, typer.Option(min=0, help="Of the requests.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 128,
    concurrent: Annotated[int, typer.Option(min=1, help="Requests under way together.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that an answer may take.")] = 60.0,
    key: Annotated[str, typer.Option(help="Environment variable that holds the key.")] = "",
    answers: Annotated[
        Path | None, typer.Option(help="Where answers are kept; asked again only where missing.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Answers of another endpoint, to hold triggers against.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify an OpenAI-compatible endpoint: schemas, triggers, ids, streams. Resumes.

    Ends with 0 where everything that is the server's to keep was kept, else with 1.

    Example: `k2 verify-serving http://127.0.0.1:8000/v1`
    """
    from k2core.serving.wire import Asking
    from workflows.endpoint_figures import verify_serving as verify
    from workflows.endpoints import endpoint_at

    endpoint = endpoint_at(url, model, key, max_concurrent=concurrent, timeout_s=timeout)
    whose = hashlib.sha256(f"{url} {model} {seed} {max_tokens}".encode()).hexdigest()[:12]
    place = answers or home() / "serving" / f"{whose}.jsonl"
    how = Asking(max_tokens, seed)
    kept = verify(endpoint, count, how, place, reference, plain=as_json)
    raise typer.Exit(0 if kept else 1)
