"""Our own held-out problems, several turns long: tools that answer, fail and are simulated here."""

from collections.abc import Mapping

import anyio.to_thread
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver

from k2core.agents import Dialogue
from k2core.agents.endpoint import play_model
from k2core.evaluate.answers import count_calls
from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, make_suite, take
from k2core.problems import held_out_problems
from k2core.problems.unseen import with_unseen_tools
from k2core.rewards import judge_dialogues
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig
from schemas.chat import Problem
from schemas.problems import ProblemsConfig


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """The default families' held-out problems, those of tiny's own table, and with unseen tools.

    Where tools are not declared to the server, the problems without tools are left.
    """
    plain = held_out_problems(ProblemsConfig())
    strange = [with_unseen_tools(problem).problem for problem in plain if problem.tools]
    unseen = {f"{p.problem_id} unseen tools": p for p in strange}
    posed = {p.problem_id: p for p in plain} | unseen
    usable = {
        name: problem
        for name, problem in posed.items()
        if config.tool_calls == "native" or not problem.tools
    }
    categories = {
        name: f"{problem.family}, unseen tools" if name in unseen else problem.family
        for name, problem in usable.items()
    }
    return play_problems("families", usable, categories, config, bench)


def play_problems(
    name: str,
    problems: Mapping[str, Problem],
    categories: Mapping[str, str],
    config: BenchmarkConfig,
    bench: Bench,
) -> Suite:
    """A suite of dialogues that are played here, turn by turn.

    Args:
        name: of the suite.
        problems: by an id of their own.
        categories: of each, by the same id.
        config: how many are asked.
        bench: the model and what judges.
    """
    played: dict[tuple[str, int], Dialogue] = {}

    @solver
    def play() -> Solver:  # of no arguments: a model's address would make each call another task
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            problem = problems[str(state.sample_id)]
            dialogue = await anyio.to_thread.run_sync(
                lambda: play_model(
                    problem,
                    bench.model,
                    config.seed + 1000 * state.epoch,
                    max_answer=config.max_tokens,
                )
            )
            played[str(state.sample_id), state.epoch] = dialogue
            state.messages = [_shown(m.role, m.content, m.tool_calls) for m in dialogue.messages]
            last = dialogue.messages[-1].content if dialogue.messages else ""
            state.output = ModelOutput.from_content(bench.model.endpoint.model, last)
            calls, valid = count_calls(dialogue)
            state.metadata |= {"calls": calls, "valid_calls": valid}
            state.metadata |= {"tokens": dialogue.num_tokens, "stop": str(dialogue.stop_reason)}
            return state

        return solve

    def judge(state: TaskState) -> Verdict:
        dialogue = played.pop((str(state.sample_id), state.epoch))
        return judge_dialogues([dialogue], bench.sandbox)[0]

    samples = [
        Sample(
            id=number,
            input=problem.messages[-1].content,
            metadata={CATEGORY: categories[number]},
        )
        for number, problem in problems.items()
    ]
    source = "this pipeline's held-out problems"
    return make_suite(name, take(samples, config.limit), source, judge, play())


def _shown(role: str, content: str, calls: object) -> ChatMessageUser | ChatMessageAssistant:
    """A message for the harness' viewer: tool results stand as the environment's."""
    text = "\n".join([content, *(f"{c.name} {c.arguments}" for c in calls)])  # type: ignore[attr-defined]
    if role == "assistant":
        return ChatMessageAssistant(content=text)
    return ChatMessageUser(content=text if role == "user" else f"({role}) {text}")
