"""Talk to a checkpoint: what it says, what it calls, and what the tools really return."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import typer

from k2core.agents import Opening, Session, rollout
from k2core.chat import ChatCodec
from k2core.engines.protocol import TalkingEngine
from k2core.environments import OWN
from k2core.environments.servers import MCP
from k2core.model.config import load_shape
from k2core.problems import held_out_problems
from k2core.rewards import CONFINED, judge_dialogue
from k2core.sandbox import Sandbox
from schemas.base import Artifact
from schemas.placement import Serving
from schemas.problems import FAMILY_GROUPS, ProblemsConfig, Sources
from tasks.store import published_folder
from workflows.errors import MendableError
from workflows.find import SERVABLE, config_behind, find_artifact
from workflows.show import show_line, show_messages


class Partner(NamedTuple):
    """A checkpoint while it is served."""

    engine: TalkingEngine
    codec: ChatCodec
    context: int
    temperature: float


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
    with serve(folder, Serving(num_engines=1), max_model_len=context, max_num_seqs=1) as engine:
        yield Partner(engine, ChatCodec(folder), context, temperature)
