"""Our own held-out problems, several turns long: tools that answer, fail and are simulated here."""

import anyio.to_thread
from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver

from k2core.agents import Dialogue
from k2core.agents.endpoint import ChatModel, play_model
from k2core.evaluate.answers import count_calls
from k2core.evaluate.suites.suite import CATEGORY, Bench, Suite, judged, make_suite, take
from k2core.problems import held_out_problems
from k2core.rewards import judge_dialogues
from k2core.sandbox import Verdict
from schemas.benchmarks import BenchmarkConfig
from schemas.problems import ProblemsConfig


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """The default families' held-out problems, those of tiny's own table.

    Where tools are not declared to the server, the problems without tools are left.
    """
    problems = {
        problem.problem_id: problem
        for problem in held_out_problems(ProblemsConfig())
        if config.tool_calls == "native" or not problem.tools
    }
    played: dict[tuple[str, int], Dialogue] = {}

    @solver
    def play(model: ChatModel, seed: int) -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            problem = problems[str(state.sample_id)]
            dialogue = await anyio.to_thread.run_sync(
                play_model, problem, model, seed + 1000 * state.epoch
            )
            played[problem.problem_id, state.epoch] = dialogue
            state.messages = [_shown(m.role, m.content, m.tool_calls) for m in dialogue.messages]
            last = dialogue.messages[-1].content if dialogue.messages else ""
            state.output = ModelOutput.from_content(model.endpoint.model, last)
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
            id=problem.problem_id,
            input=problem.messages[-1].content,
            metadata={CATEGORY: problem.family},
        )
        for problem in problems.values()
    ]
    task = Task(
        name="families",
        dataset=MemoryDataset(take(samples, config.limit), name="families"),
        solver=play(bench.model, config.seed),
        scorer=judged(judge),
    )
    return make_suite(task, "this pipeline's held-out problems")


def _shown(role: str, content: str, calls: object) -> ChatMessageUser | ChatMessageAssistant:
    """A message for the harness' viewer: tool results stand as the environment's."""
    text = "\n".join([content, *(f"{c.name} {c.arguments}" for c in calls)])  # type: ignore[attr-defined]
    if role == "assistant":
        return ChatMessageAssistant(content=text)
    return ChatMessageUser(content=text if role == "user" else f"({role}) {text}")
