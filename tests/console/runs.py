"""Runs and their actions: what launches, watches, aborts, reruns and recovers them."""

import asyncio
import secrets
from collections.abc import AsyncIterator

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common import identifier_pb2, run_pb2
from flyteidl2.task import common_pb2, task_definition_pb2
from flyteidl2.task import run_pb2 as run_spec_pb2
from flyteidl2.workflow import (
    queue_service_pb2,
    run_definition_pb2,
    run_service_pb2,
    state_service_pb2,
)
from flyteidl2.workflow.queue_service_connect import QueueService
from flyteidl2.workflow.run_service_connect import RunService
from flyteidl2.workflow.state_service_connect import StateService

from tests.console.actions import RECOVERED, SUCCEEDED, Action, Machine, recovers
from tests.console.registry import Registry

_PAUSE = 0.1
"""Seconds between two looks at what is watched."""
ROOT = "a0"
"""Flyte's name of a run's first action."""


class Runs(RunService, QueueService, StateService):
    """RunService, QueueService and StateService."""

    def __init__(self, registry: Registry, machine: Machine) -> None:
        self._registry, self._machine = registry, machine
        self.actions: dict[tuple[str, str], Action] = {}
        """(run, action) -> in the order in which they came."""
        self._cached: dict[str, str] = {}
        """Cache key -> address of the outputs."""
        self._going: set[asyncio.Task[None]] = set()

    def action(self, run: str, name: str = ROOT) -> Action:
        """One of a run's."""
        found = self.actions.get((run, name))
        if found is None:
            raise ConnectError(Code.NOT_FOUND, f"action {name} of run {run}")
        return found

    def of(self, run: str) -> list[Action]:
        """All of a run's."""
        return [action for (known, _), action in self.actions.items() if known == run]

    async def create_run(
        self, request: run_service_pb2.CreateRunRequest, _: object
    ) -> run_service_pb2.CreateRunResponse:
        """Start a deployed task, a trigger's, or the specification that the request brings."""
        inputs, run_spec, trigger = request.offloaded_input_data.uri, request.run_spec, ""
        which = request.WhichOneof("task")
        if which == "trigger_name":
            found, trigger = self._registry.trigger(request.trigger_name), request.trigger_name.name
            name = request.trigger_name
            task_id = task_definition_pb2.TaskIdentifier(
                org=name.org,
                project=name.project,
                domain=name.domain,
                name=name.task_name,
                version=found.spec.task_version,
            )
            spec = self._registry.deployed(task_id).spec
            inputs = inputs or found.spec.offloaded_input_data.uri
        elif which == "task_id":
            task_id, spec = request.task_id, self._registry.deployed(request.task_id).spec
        else:
            spec, own = request.task_spec, request.task_spec.task_template.id
            task_id = task_definition_pb2.TaskIdentifier(
                org=own.org,
                project=own.project,
                domain=own.domain,
                name=own.name,
                version=own.version,
            )
        run = request.run_id if request.run_id.name else self._new_run(request)
        if (run.name, ROOT) in self.actions:
            raise ConnectError(Code.ALREADY_EXISTS, f"run {run.name}")
        action = Action(
            identifier_pb2.ActionIdentifier(run=run, name=ROOT),
            spec,
            task_id,
            inputs,
            f"{self._machine.blobs.root}/runs/{run.name}",
            run_spec,
            trigger=trigger,
        )
        self._start(action)
        return run_service_pb2.CreateRunResponse(run=run_definition_pb2.Run(action=action.brief()))

    def _new_run(self, request: run_service_pb2.CreateRunRequest) -> identifier_pb2.RunIdentifier:
        project = request.project_id
        return identifier_pb2.RunIdentifier(
            org=project.organization,
            project=project.name or request.trigger_name.project,
            domain=project.domain or request.trigger_name.domain,
            name=f"r{secrets.token_hex(6)}",
        )

    def _start(self, action: Action) -> None:
        self.actions[action.id.run.name, action.id.name] = action
        going = asyncio.create_task(self._work(action))
        self._going.add(going)
        going.add_done_callback(self._going.discard)

    async def _work(self, action: Action) -> None:
        """Answer from the cache or from the run that is recovered, else run it."""
        run_spec = self.action(action.id.run.name).run_spec
        known = self._cached.get(action.cache_key, "")
        source = self._recovered(action, run_spec)
        if source is not None:
            action.output = source.output
            action.end(RECOVERED)
        elif known and not run_spec.overwrite_cache:
            action.output, action.cached = known, True
            action.end(SUCCEEDED)
        else:
            await action.run(self._machine)
            if action.phase == SUCCEEDED:
                if action.cache_key:
                    self._cached[action.cache_key] = action.output
                await self._publish(action)

    async def _publish(self, action: Action) -> None:
        """Start what waits for the artifacts that an action declared."""
        if not action.spec.task_template.metadata.produces_artifacts:
            return
        blobs = self._machine.blobs
        made = common_pb2.Outputs.FromString(await blobs.get(f"{action.output}/outputs.pb"))
        values = {literal.name: literal.value for literal in made.literals}
        for declared in made.produced_artifacts:
            for trigger in self._registry.waiting_for(declared.name):
                inputs = trigger.spec.inputs
                if trigger.spec.HasField("offloaded_input_data"):
                    raw = await blobs.get(trigger.spec.offloaded_input_data.uri)
                    inputs = common_pb2.Inputs.FromString(raw)
                argument = trigger.automation_spec.artifact.input_arg
                inputs.literals.add(name=argument, value=values[declared.output])
                uri = f"{blobs.root}/inputs/{secrets.token_hex(8)}/inputs.pb"
                await blobs.put(uri, inputs.SerializeToString())
                request = run_service_pb2.CreateRunRequest(
                    trigger_name=trigger.id.name,
                    run_spec=trigger.spec.run_spec,
                    offloaded_input_data=run_pb2.OffloadedInputData(uri=uri, inputs_hash=uri),
                )
                await self.create_run(request, None)

    def _recovered(self, action: Action, run_spec: run_spec_pb2.RunSpec) -> Action | None:
        if not recovers(run_spec) or action.id.name in (
            ROOT,
            *run_spec.recover.force_rerun_actions,
        ):
            return None
        source = self.actions.get((run_spec.relation.related_to.name, action.id.name))
        done = source is not None and source.phase in (SUCCEEDED, RECOVERED)
        return source if done else None

    async def enqueue_action(
        self, request: queue_service_pb2.EnqueueActionRequest, _: object
    ) -> queue_service_pb2.EnqueueActionResponse:
        """Start a child; again, after its parent was restarted, is nothing new."""
        key = request.action_id.run.name, request.action_id.name
        if key not in self.actions:
            self._start(
                Action(
                    request.action_id,
                    request.task.spec,
                    request.task.id,
                    request.input_uri,
                    request.run_output_base,
                    self.action(key[0]).run_spec,
                    parent=request.parent_action_name,
                    cache_key=request.task.cache_key.value,
                )
            )
        return queue_service_pb2.EnqueueActionResponse()

    async def abort_queued_action(
        self, request: queue_service_pb2.AbortQueuedActionRequest, _: object
    ) -> queue_service_pb2.AbortQueuedActionResponse:
        """Kill a child."""
        self.action(request.action_id.run.name, request.action_id.name).abort("by its parent")
        return queue_service_pb2.AbortQueuedActionResponse()

    async def abort_run(
        self, request: run_service_pb2.AbortRunRequest, _: object
    ) -> run_service_pb2.AbortRunResponse:
        """Kill all of a run."""
        for action in self.of(request.run_id.name):
            action.abort(request.reason)
        return run_service_pb2.AbortRunResponse()

    async def abort_action(
        self, request: run_service_pb2.AbortActionRequest, _: object
    ) -> run_service_pb2.AbortActionResponse:
        """Kill one."""
        self.action(request.action_id.run.name, request.action_id.name).abort(request.reason)
        return run_service_pb2.AbortActionResponse()

    async def watch(
        self, request: state_service_pb2.WatchRequest, _: object
    ) -> AsyncIterator[state_service_pb2.WatchResponse]:
        """What becomes of an action's children."""
        parent, told = request.parent_action_id, dict[str, int]()
        yield state_service_pb2.WatchResponse(
            control_message=state_service_pb2.ControlMessage(sentinel=True)
        )
        while True:
            for action in self.of(parent.run.name):
                if action.parent == parent.name and told.get(action.id.name) != action.phase:
                    told[action.id.name] = action.phase
                    yield state_service_pb2.WatchResponse(action_update=action.update())
            await asyncio.sleep(_PAUSE)

    async def get_run_details(
        self, request: run_service_pb2.GetRunDetailsRequest, _: object
    ) -> run_service_pb2.GetRunDetailsResponse:
        """As its page shows it."""
        action = self.action(request.run_id.name)
        details = run_definition_pb2.RunDetails(action=action.details(), run_spec=action.run_spec)
        return run_service_pb2.GetRunDetailsResponse(details=details)

    async def get_action_details(
        self, request: run_service_pb2.GetActionDetailsRequest, _: object
    ) -> run_service_pb2.GetActionDetailsResponse:
        """As its page shows it."""
        action = self.action(request.action_id.run.name, request.action_id.name)
        return run_service_pb2.GetActionDetailsResponse(details=action.details())

    async def get_action_data_u_r_is(
        self, request: run_service_pb2.GetActionDataURIsRequest, _: object
    ) -> run_service_pb2.GetActionDataURIsResponse:
        """Where its inputs and outputs are."""
        action = self.action(request.action_id.run.name, request.action_id.name)
        return run_service_pb2.GetActionDataURIsResponse(
            inputs_uri=action.inputs, outputs_uri=f"{action.output}/outputs.pb"
        )

    async def list_runs(
        self, _: run_service_pb2.ListRunsRequest, __: object
    ) -> run_service_pb2.ListRunsResponse:
        """All, the newest first."""
        roots = [action for (_, name), action in self.actions.items() if name == ROOT]
        runs = [run_definition_pb2.Run(action=action.brief()) for action in reversed(roots)]
        return run_service_pb2.ListRunsResponse(runs=runs)

    async def list_actions(
        self, request: run_service_pb2.ListActionsRequest, _: object
    ) -> run_service_pb2.ListActionsResponse:
        """All of a run."""
        briefs = [action.brief() for action in self.of(request.run_id.name)]
        return run_service_pb2.ListActionsResponse(actions=briefs)

    async def watch_action_details(
        self, request: run_service_pb2.WatchActionDetailsRequest, _: object
    ) -> AsyncIterator[run_service_pb2.WatchActionDetailsResponse]:
        """Its page, until it ends."""
        action = self.action(request.action_id.run.name, request.action_id.name)
        told = -1
        while True:
            if told != action.phase:
                told = action.phase
                yield run_service_pb2.WatchActionDetailsResponse(details=action.details())
            if action.ended is not None:
                return
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Leave no process behind."""
        for action in self.actions.values():
            action.abort("the control plane ends")
