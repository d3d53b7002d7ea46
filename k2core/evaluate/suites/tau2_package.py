"""tau2-bench's own tasks, environments, policies and evaluator, from its package.

What plays users and agents there asks language models over litellm; none of that is used, and it
stands empty here. Nor are its assertions in natural language, which a model judges: no task's
reward rests on them.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from k2core.evaluate.suites.absent import stand_in, unused
from k2core.evaluate.suites.tau2_user import CustomerBrief

if TYPE_CHECKING:
    from collections.abc import Callable

    from tau2.data_model.message import Message
    from tau2.data_model.simulation import RewardInfo
    from tau2.data_model.tasks import Task
    from tau2.environment.environment import Environment
    from tau2.registry import Registry

DOMAINS = ("airline", "retail", "telecom")
SOLO = frozenset({"telecom"})
"""Played as the package's solo mode: the agent has a ticket and the user's device, and no user."""
DONE = "done"
"""The tool that ends a task without a user."""
STOP = "###STOP###"
"""What a user of the benchmark says last."""
_SPLIT = "base"
"""The tasks that the benchmark's own table is of."""


class DeclaredTool(NamedTuple):
    """One that the agent has."""

    name: str
    description: str
    parameters: Mapping[str, object]


class ServiceDesk(NamedTuple):
    """Where an agent sits: what it is told, what it has, and the services behind."""

    system: str
    tools: Sequence[DeclaredTool]
    environment: "Environment"


class Tau2Package(NamedTuple):
    """What of the package is used."""

    registry: "Registry"
    evaluate: "Callable[..., RewardInfo]"
    everything: str
    """What it is to evaluate."""
    message: ModuleType
    """Of its messages."""
    run: ModuleType
    """Of its runs."""
    agents: ModuleType
    """For what they are told."""
    greeting: str
    """The agent's first words."""


@cache
def load_package() -> Tau2Package:
    """Import it, without what asks language models."""
    from loguru import logger

    logger.disable("tau2")
    stand_in("deepdiff", DeepDiff=unused)
    stand_in("tau2.utils.llm_utils", generate=unused, get_cost=unused)
    from tau2.agent import llm_agent
    from tau2.data_model import message, simulation
    from tau2.evaluator.evaluator import EvaluationType, evaluate_simulation
    from tau2.orchestrator.orchestrator import DEFAULT_FIRST_AGENT_MESSAGE
    from tau2.registry import registry

    return Tau2Package(
        registry,
        evaluate_simulation,
        EvaluationType.ALL,
        message,
        simulation,
        llm_agent,
        str(DEFAULT_FIRST_AGENT_MESSAGE.content),
    )


@cache
def read_tasks(domain: str) -> "Mapping[str, Task]":
    """Task by id, those of the benchmark's own table."""
    return {str(t.id): t for t in load_package().registry.get_tasks_loader(domain)(_SPLIT)}


def scenario_of(task: "Task") -> CustomerBrief:
    """What its user is told."""
    told = task.user_scenario.instructions
    texts = told.reason_for_call, told.known_info, told.unknown_info, told.task_instructions
    return CustomerBrief(*(text or "" for text in texts))


def open_desk(domain: str, task: "Task") -> ServiceDesk:
    """The task's services in their first state, with the agent's own prompt and tools."""
    package, solo = load_package(), domain in SOLO
    environment = package.registry.get_env_constructor(domain)(solo_mode=solo)
    start = task.initial_state
    environment.set_state(
        initialization_data=start and start.initialization_data,
        initialization_actions=start and start.initialization_actions,
        message_history=[],
    )
    tools, policy = environment.get_tools(), environment.get_policy()
    if solo:
        tools = tools + environment.get_user_tools()
        agent = package.agents.LLMSoloAgent(tools, policy, task)  # adds `done` to the tools
    else:
        agent = package.agents.LLMAgent(tools, policy)
    declared = [tool.openai_schema["function"] for tool in agent.tools]
    return ServiceDesk(
        agent.system_prompt,
        [
            DeclaredTool(f["name"], f["description"], _without_references(f["parameters"]))
            for f in declared
        ],
        environment,
    )


def judge_messages(domain: str, task: "Task", messages: "Sequence[Message]", stop: str) -> str:
    """What the benchmark's evaluator finds wrong; empty where it gives its full reward.

    Args:
        domain: the task's.
        task: the task.
        messages: as the package has them, from the greeting on.
        stop: why they end, as the package's `TerminationReason` says.
    """
    package = load_package()
    run = package.run.SimulationRun(
        id="", task_id=task.id, start_time="", end_time="", duration=0.0,
        termination_reason=stop, messages=list(messages),
    )  # fmt: skip
    found = package.evaluate(run, task, package.everything, domain in SOLO, domain)
    if found.reward >= 1.0:
        return ""
    missed = [kind.value for kind, reward in (found.reward_breakdown or {}).items() if reward < 1]
    return " and ".join(missed).lower() or stop


def _without_references(schema: Mapping[str, object]) -> dict[str, object]:
    """A schema with what it refers to written in place; the package's are not recursive."""
    definitions = schema.get("$defs", {})

    def write(part: object) -> object:
        if isinstance(part, list):
            return [write(one) for one in part]
        if not isinstance(part, dict):
            return part
        if isinstance(name := part.get("$ref"), str) and isinstance(definitions, dict):
            return write(definitions[name.rpartition("/")[2]])
        return {key: write(value) for key, value in part.items() if key != "$defs"}

    written = write(dict(schema))
    assert isinstance(written, dict)
    return written
