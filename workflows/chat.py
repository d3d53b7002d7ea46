"""Talk to a checkpoint: what it says, what it calls, and what the tools really return."""

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import typer

from k2core.agents import Opening, Session, rollout
from k2core.chat import ChatCodec, ToolCallSyntaxError
from k2core.engines.protocol import Engine, Sampling
from k2core.environments import OWN
from k2core.environments.servers import MCP
from k2core.model.config import load_shape
from k2core.problems import held_out_problems
from k2core.problems.tools import Names, environment_state, make_tool
from k2core.rewards import CONFINED, judge_dialogue
from k2core.sandbox import Sandbox
from schemas.base import Artifact
from schemas.chat import Message, Problem
from schemas.problems import FAMILY_GROUPS, ProblemsConfig, Sources
from tasks.store import published_folder
from workflows.errors import MendableError
from workflows.find import SERVABLE, config_behind, find_artifact
from workflows.show import show_line, show_messages

_TOOLS = [
    make_tool(random.Random(0), Names((name,), (("a", "b"),)), does, name, "integer")
    for name, does in (("add", "Add two numbers."), ("multiply", "Multiply two numbers."))
]
CALCULATOR = Problem(
    problem_id="chat",
    family="chat",
    group="general",
    messages=(),
    tools=tuple(tool.spec for tool in _TOOLS),
    environment="calculator",
    state=environment_state(_TOOLS, {}),
    verifier="none",
    max_turns=1_000_000,
    max_tokens=256,
)
"""Nothing to solve, but tools that work; `max_tokens` is an assistant message's."""


class Partner(NamedTuple):
    """A checkpoint while it is served."""

    engine: Engine
    codec: ChatCodec
    context: int
    temperature: float


def talk(target: str, texts: Iterable[str], temperature: float) -> None:
    """Answer one text after another, with a calculator at hand."""
    artifact = find_artifact(target, SERVABLE)
    with serve_artifact(artifact, temperature) as partner:
        session = Session(CALCULATOR)
        for text in texts:
            answer(partner, session, text)
            if session.stop_reason != "answered":
                typer.secho(f"({session.stop_reason}: a new dialogue starts)", dim=True, err=True)
                session = Session(CALCULATOR)


def solve(target: str, family: str, number: int, temperature: float) -> None:
    """Put a checkpoint through a held-out problem, exactly as evaluation does, and judge it."""
    artifact = find_artifact(target, SERVABLE)
    config = ProblemsConfig.model_validate(config_behind(artifact, "problems"))
    asked = held_out_problems(_asking_only(config, family))
    if number >= len(asked):
        raise MendableError(f"--number {number}: {family} has problems 0 to {len(asked) - 1}")
    problem = asked[number]
    with ExitStack() as stack:
        confined = problem.verifier in CONFINED or problem.environment in (OWN, MCP)
        sandbox = stack.enter_context(Sandbox.start()) if confined else None
        begin = stack.enter_context(Opening(sandbox)).open if sandbox else Session
        engine, codec, context, heat = stack.enter_context(serve_artifact(artifact, temperature))
        (dialogue,) = rollout(
            [problem],
            engine,
            codec,
            seeds=[0],
            temperature=heat,
            max_context=context,
            open_session=begin,
        )
        verdict = judge_dialogue(dialogue, sandbox)
    show_messages(dialogue.messages)
    outcome = "passed" if verdict.reward >= 1 else f"failed: {verdict.reason}"
    expected = problem.expected.get("answer", " ".join(problem.rubric))
    show_line(f"{problem.problem_id} {outcome} (expected: {expected})", "bold")


def _asking_only(config: ProblemsConfig, family: str) -> ProblemsConfig:
    if family in FAMILY_GROUPS:
        return config.model_copy(update={"families": {family: 1.0}, "sources": Sources()})
    own = {
        kind: tuple(source for source in sources if source.name == family)
        for kind, sources in config.sources
    }
    if not any(own.values()):
        known = dict.fromkeys((*FAMILY_GROUPS, *config.weights))
        raise MendableError(f"no family {family!r}; there are {', '.join(known)}")
    return config.model_copy(update={"families": {}, "sources": Sources(**own)})


@contextmanager
def serve_artifact(artifact: Artifact, temperature: float) -> Iterator[Partner]:
    """Serve a checkpoint's weights, or those of a release's policy, by vLLM."""
    from k2core.engines.ray import serve

    folder = published_folder(artifact) / ("policy" if artifact.kind == "release" else "")
    context = load_shape(folder).max_position_embeddings
    typer.secho(f"starting vLLM on {artifact.kind} {artifact.digest[7:19]} ...", dim=True, err=True)
    with serve(folder, num_engines=1, max_model_len=context, max_num_seqs=1) as engine:
        yield Partner(engine, ChatCodec(folder), context, temperature)


def answer(partner: Partner, session: Session, text: str) -> None:
    """Let the model call and speak until it has answered the text, or cannot go on."""
    session.messages.append(Message(role="user", content=text))
    session.stop_reason = None
    while session.stop_reason is None:
        known = len(session.messages)
        take_turn(partner, session)
        show_messages(session.messages[known:])


def take_turn(partner: Partner, session: Session) -> None:
    """One assistant message, and what its calls return."""
    prompt = partner.codec.encode_prompt(session.messages, session.problem.tools)
    room = min(session.problem.max_tokens, partner.context - len(prompt))
    if room < 1:
        session.stop_reason = "context"
        return
    sampling = Sampling(room, partner.temperature, stop_token_ids=partner.codec.stop_token_ids)
    ids = partner.engine.generate([prompt], [sampling])[0].token_ids
    closed = bool(ids) and ids[-1] in partner.codec.stop_token_ids
    text = partner.codec.decode(ids[:-1] if closed else ids)
    try:
        message = partner.codec.parse(ids, session.num_calls)
    except ToolCallSyntaxError:
        session.cut_off(Message(role="assistant", content=text), "malformed")
    else:
        if closed:
            session.reply(message)
        else:
            session.cut_off(message, "token_budget")


def typed_lines() -> Iterator[str]:
    """What the user says, a line a turn, until Ctrl-D or the end of the input."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if line:
            yield line
