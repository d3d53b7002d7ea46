"""Planted faults of four sides in dialogues that would have passed, and whom the judge blames.

    python -m bench.attribution [PROBLEMS]

The peer blames the agent for every failure, as harnesses do that score by the outcome alone.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from k2core.agents import Dialogue, Habits, ScriptedUser, User, play_expert
from k2core.environments import Environment, open_environment
from k2core.problems import FAMILIES, Posed, pose_training
from k2core.sandbox import Sandbox
from k2core.synthesize.faults import Forgetful, Garbling, Outage, SilentUser, StrayUser
from k2core.synthesize.judge import Judge, Judgement
from schemas.problems import ProblemsConfig

TOOLS = {
    name: 1.0
    for name in ("sum_with_tool", "compare", "lookup", "lookup_chain", "retry", "transfer")
}
PEERS = ("right", "outcome alone")
PROBLEMS = ProblemsConfig(families=TOOLS, two_turn_frac=0.5)


class Plant(NamedTuple):
    """Who is broken, and how."""

    side: str
    what: str
    habits: Habits = Habits(insists=True)
    environment: Callable[[Environment, random.Random], Environment] | None = None
    user: str = ""
    """`silent`, or `strays`: asks for something else than its goal."""
    flips: bool = False
    """The judge says the opposite of what holds."""


PLANTS = (
    Plant("agent", "answers wrongly, or does not act", Habits(fails=True, insists=True)),
    Plant("environment", "busy for good", environment=lambda e, _: Outage(e)),
    Plant("environment", "garbles results", environment=Garbling),
    Plant("environment", "forgets what it did", environment=lambda e, _: Forgetful(e)),
    Plant("user", "silent", user="silent"),
    Plant("user", "says another's goal", user="strays"),
    Plant("judge", "accepts a failure", Habits(fails=True, insists=True), flips=True),
    Plant("judge", "rejects a success", flips=True),
)


def measure(num_problems: int = 400) -> list[dict[str, object]]:
    """A row a plant: failures that it caused, and the share blamed on the right side."""
    with Sandbox.start() as sandbox:
        judge = Judge(sandbox)
        return [_measure_plant(plant, judge, num_problems) for plant in PLANTS]


def _measure_plant(plant: Plant, judge: Judge, num_problems: int) -> dict[str, object]:
    blamed = Counter(blame(plant, judge, num_problems))
    total = blamed.total()
    return {
        "planted": f"{plant.side}: {plant.what}",
        "failures": total,
        "right": blamed[plant.side] / max(total, 1),
        "outcome alone": float(plant.side == "agent"),
        **{f"as {side}": blamed[side] for side in ("agent", "environment", "user", "judge")},
    }


def blame(plant: Plant, judge: Judge, num_problems: int) -> Iterator[str]:
    """The side found for each failure that the plant caused; harmless plants are no failures."""
    for index in range(num_problems):
        dialogue = play_planted(plant, pose_training(PROBLEMS, index), index)
        if dialogue is None:
            continue
        found = judge.judge(dialogue)
        if plant.flips:
            fails = plant.habits.fails
            if bool(found.reason) != fails:
                continue
            found = Judgement(1.0, "") if fails else Judgement(0.0, "agent: wrong_answer")
        elif not found.reason:
            continue
        fault = judge.audit(dialogue, found)
        yield fault.side if fault else "nobody"


def play_planted(plant: Plant, posed: Posed, seed: int) -> Dialogue | None:
    """The dialogue with the fault in it; None where the problem has no place for it."""
    problem, rng = posed.problem, random.Random(seed)
    environment = open_environment(problem)
    user: User = ScriptedUser(problem.follow_ups)
    if plant.environment:
        environment = plant.environment(environment, rng)
    if plant.user == "silent" and problem.follow_ups:
        user = SilentUser()
    elif plant.user == "strays" and problem.follow_ups and problem.family == "lookup":
        key = posed.content["key"]
        other = next(k for k in posed.content["records"] if k != key)
        user = StrayUser(user, f'Of "{other}".')
        posed = posed._replace(content={**posed.content, "key": other})  # the agent listens
    elif plant.user:
        return None
    script = FAMILIES[problem.family].act(posed, shortcut=False)
    return play_expert(problem, script, plant.habits, rng, environment, user)


def main(num_problems: int = 400) -> None:
    """Print a row a plant, and right attributions over those of blaming the agent for all."""
    rows = measure(num_problems)
    table = Table(*rows[0], title="Whom the judge blames for planted faults")
    for row in rows:
        cells = [f"{v:.1%}" if isinstance(v, float) else str(v) for v in row.values()]
        table.add_row(*cells)
    Console().print(table)
    right = [sum(int(str(r["failures"])) * float(str(r[key])) for r in rows) for key in PEERS]
    print(f"attribution ratio={right[0] / right[1]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
