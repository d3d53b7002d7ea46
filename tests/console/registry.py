"""The control plane's memory of tasks and triggers, by the public services' own messages."""

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common import identifier_pb2, list_pb2
from flyteidl2.task import task_definition_pb2, task_service_pb2
from flyteidl2.task.task_service_connect import TaskService
from flyteidl2.trigger import trigger_definition_pb2, trigger_service_pb2
from flyteidl2.trigger.trigger_service_connect import TriggerService

from tests.console.actions import now


class Registry(TaskService, TriggerService):
    """TaskService and TriggerService."""

    def __init__(self) -> None:
        self.tasks: dict[tuple[str, str], task_service_pb2.DeployTaskRequest] = {}
        """(name, version) -> as it was deployed, the newest last."""
        self.triggers: dict[tuple[str, str], trigger_definition_pb2.TriggerDetails] = {}
        """(task, name) -> as it was deployed."""

    def spec(self, name: str) -> task_definition_pb2.TaskSpec:
        """The newest specification of a task."""
        return [task.spec for (known, _), task in self.tasks.items() if known == name][-1]

    def deployed(
        self, task_id: task_definition_pb2.TaskIdentifier
    ) -> task_service_pb2.DeployTaskRequest:
        """A task as it was deployed."""
        found = self.tasks.get((task_id.name, task_id.version))
        if found is None:
            raise ConnectError(Code.NOT_FOUND, f"task {task_id.name} {task_id.version}")
        return found

    async def deploy_task(
        self, request: task_service_pb2.DeployTaskRequest, _: object
    ) -> task_service_pb2.DeployTaskResponse:
        """Keep it, and its triggers under the version that they came with."""
        task = request.task_id
        self.tasks[task.name, task.version] = request
        for trigger in request.triggers:
            name = identifier_pb2.TriggerName(
                org=task.org,
                project=task.project,
                domain=task.domain,
                task_name=task.name,
                name=trigger.name,
            )
            details = trigger_definition_pb2.TriggerDetails(
                id=identifier_pb2.TriggerIdentifier(name=name, revision=1),
                automation_spec=trigger.automation_spec,
                description=trigger.spec.description,
            )
            details.spec.active = trigger.spec.active
            details.spec.task_version = task.version
            details.spec.run_spec.CopyFrom(trigger.spec.run_spec)
            if trigger.spec.HasField("offloaded_input_data"):
                details.spec.offloaded_input_data.CopyFrom(trigger.spec.offloaded_input_data)
            else:
                details.spec.inputs.CopyFrom(trigger.spec.inputs)
            self.triggers[task.name, trigger.name] = details
        return task_service_pb2.DeployTaskResponse()

    async def get_task_details(
        self, request: task_service_pb2.GetTaskDetailsRequest, _: object
    ) -> task_service_pb2.GetTaskDetailsResponse:
        """One version's."""
        task = self.deployed(request.task_id)
        details = task_definition_pb2.TaskDetails(
            task_id=task.task_id, metadata=_metadata(task), spec=task.spec
        )
        return task_service_pb2.GetTaskDetailsResponse(details=details)

    async def list_tasks(
        self, request: task_service_pb2.ListTasksRequest, _: object
    ) -> task_service_pb2.ListTasksResponse:
        """The newest version of each that the filters select."""
        newest = {name: task for (name, _), task in self.tasks.items()}
        chosen = [
            task_definition_pb2.Task(task_id=task.task_id, metadata=_metadata(task))
            for name, task in newest.items()
            if all(_fits(name, wish) for wish in request.request.filters)
        ]
        return task_service_pb2.ListTasksResponse(tasks=chosen)

    async def list_versions(
        self, request: task_service_pb2.ListVersionsRequest, _: object
    ) -> task_service_pb2.ListVersionsResponse:
        """Of one task, the newest first."""
        kind = task_service_pb2.ListVersionsResponse.VersionResponse
        known = [v for name, v in self.tasks if name == request.task_name.name]
        versions = [kind(version=version, deployed_at=now()) for version in reversed(known)]
        return task_service_pb2.ListVersionsResponse(versions=versions)

    def trigger(self, name: identifier_pb2.TriggerName) -> trigger_definition_pb2.TriggerDetails:
        """A trigger by its task's name and its own."""
        found = self.triggers.get((name.task_name, name.name))
        if found is None:
            raise ConnectError(Code.NOT_FOUND, f"trigger {name.name} of {name.task_name}")
        return found

    def waiting_for(self, artifact: str) -> list[trigger_definition_pb2.TriggerDetails]:
        """Triggers that a new version of an artifact fires."""
        return [
            found
            for found in self.triggers.values()
            if found.spec.active and found.automation_spec.artifact.artifact_name == artifact
        ]

    async def get_trigger_details(
        self, request: trigger_service_pb2.GetTriggerDetailsRequest, _: object
    ) -> trigger_service_pb2.GetTriggerDetailsResponse:
        """As its page shows it."""
        return trigger_service_pb2.GetTriggerDetailsResponse(trigger=self.trigger(request.name))

    async def list_triggers(
        self, request: trigger_service_pb2.ListTriggersRequest, _: object
    ) -> trigger_service_pb2.ListTriggersResponse:
        """Of one task, or all."""
        task = request.task_name.name or request.task_id.name
        chosen = [
            trigger_definition_pb2.Trigger(
                id=found.id, automation_spec=found.automation_spec, active=found.spec.active
            )
            for (of, _), found in self.triggers.items()
            if task in ("", of)
        ]
        return trigger_service_pb2.ListTriggersResponse(triggers=chosen)

    async def update_triggers(
        self, request: trigger_service_pb2.UpdateTriggersRequest, _: object
    ) -> trigger_service_pb2.UpdateTriggersResponse:
        """Switch them on or off."""
        for name in request.names:
            self.trigger(name).spec.active = request.active
        return trigger_service_pb2.UpdateTriggersResponse()


def _metadata(task: task_service_pb2.DeployTaskRequest) -> task_definition_pb2.TaskMetadata:
    return task_definition_pb2.TaskMetadata(
        short_name=task.spec.short_name,
        deployed_at=now(),
        environment_name=task.spec.environment.name,
        short_description=task.spec.documentation.short_description,
    )


def _fits(name: str, wish: list_pb2.Filter) -> bool:
    if wish.field != "name":
        return True
    if wish.function == list_pb2.Filter.Function.EQUAL:
        return name in wish.values
    return any(value in name for value in wish.values)
