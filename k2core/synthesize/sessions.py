"""Who plays the sessions: threads of this process, or Ray actors; the bytes are the same."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from k2core.agents import check_faults
from k2core.agents.endpoint import ChatModel
from k2core.sandbox import CodeRunner, Sandbox
from k2core.synthesize.judge import Judge
from k2core.synthesize.model_judge import ModelJudge
from k2core.synthesize.trajectories import Trajectory, sample_problem, sample_scenario
from schemas.chat import ToolSpec
from schemas.problems import ProblemsConfig
from schemas.synthesize import SynthesizeConfig

PlaySessions = Callable[[str, Sequence[int]], Iterator[Trajectory]]
"""All attempts at the problems of a kind, by their numbers and in their order."""
_NUM_THREADS = 8
_BATCH = 16
"""Problems that an actor is given at a time."""


class Work(NamedTuple):
    """All that the outcome of a problem depends on besides its number; goes to actors as it is."""

    config: SynthesizeConfig
    problems: ProblemsConfig
    distractors: Sequence[ToolSpec]
    twice: bool = False
    """Whether the model judge's calibration sufficed, so that it judges too."""

    def open_judge(self, sandbox: CodeRunner) -> Judge:
        """The programs, and the model judge if it counts."""
        judge = self.config.model_judge
        return Judge(sandbox, ModelJudge(judge) if judge and self.twice else None)


@contextmanager
def open_play(work: Work, judge: Judge, num_actors: int = 0) -> Iterator[PlaySessions]:
    """What plays sessions, here or in actors.

    Args:
        work: what is played.
        judge: judges what this process plays.
        num_actors: Ray actors, each with a judge of its own; 0 plays in this process.
    """
    if not num_actors:
        yield partial(play_in_threads, work, judge, num_threads(work.config))
        return
    from k2core.engines.ray.sessions import open_sessions

    threads = max(1, num_threads(work.config) // num_actors)
    size = max(_BATCH, 2 * threads)
    with open_sessions(num_actors, partial(_open_in_actor, work, threads)) as pool:

        def play(kind: str, numbers: Sequence[int]) -> Iterator[Trajectory]:
            return pool.play(kind, [numbers[i : i + size] for i in range(0, len(numbers), size)])

        yield play


def num_threads(config: SynthesizeConfig) -> int:
    """Sessions side by side in one process: they wait for a model, or for a sandbox."""
    return config.agent.max_concurrent if config.agent else _NUM_THREADS


def play_in_threads(
    work: Work, judge: Judge, threads: int, kind: str, numbers: Sequence[int]
) -> Iterator[Trajectory]:
    """Play in threads of this process."""
    config = work.config
    agent = ChatModel(config.agent) if config.agent else None

    def sample(number: int) -> list[Trajectory]:
        if kind == "scenario":
            return sample_scenario(config, number, judge, agent)
        return sample_problem(config, work.problems, number, judge, work.distractors, agent)

    faults: list[str] = []
    total = 0
    with ThreadPoolExecutor(threads) as pool:
        for samples in pool.map(sample, numbers):
            faults += [s.judgement.reason for s in samples if s.judgement.is_faulty]
            total += len(samples)
            check_faults(faults, total, config.max_faulty_frac, "synthesize.max_faulty_frac")
            yield from samples


@contextmanager
def _open_in_actor(
    work: Work, threads: int, runner: CodeRunner | None
) -> Iterator[Callable[[str, Sequence[int]], list[Trajectory]]]:
    if runner is None:
        with Sandbox.start() as sandbox, _open_in_actor(work, threads, sandbox) as play:
            yield play
        return
    judge = work.open_judge(runner)
    yield lambda kind, numbers: list(play_in_threads(work, judge, threads, kind, numbers))
