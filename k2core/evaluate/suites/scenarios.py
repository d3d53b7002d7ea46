"""Several turns with a user who wants things done, at a service whose tools nobody trained on."""

from k2core.evaluate.suites.families import play_problems
from k2core.evaluate.suites.prompted import with_calls
from k2core.evaluate.suites.suite import Bench, Suite
from k2core.tools.scenarios import held_out_scenario
from schemas.benchmarks import BenchmarkConfig

NUM_SCENARIOS = 60


def build(config: BenchmarkConfig, bench: Bench) -> Suite:
    """Sixty scenarios, or `limit` of each number of goals."""
    drawn = [held_out_scenario(config.seed, index) for index in range(NUM_SCENARIOS)]
    problems = {scenario.problem.problem_id: scenario.problem for scenario in drawn}
    goals = {scenario.problem.problem_id: len(scenario.goals) for scenario in drawn}
    categories = {name: f"{n} goal{'s' if n > 1 else ''}" for name, n in goals.items()}
    return play_problems("scenarios", problems, categories, config, with_calls(bench, config))
