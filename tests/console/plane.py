"""A Flyte 2 control plane on this machine's loopback, for the unchanged client.

It keeps what is deployed in memory, blobs in an S3 server, and runs each action's own container
command as a process. It schedules nothing: a trigger fires where `fire` says so, as the console's
button does.
"""

import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from flyteidl2.cluster import payload_pb2
from flyteidl2.cluster.service_connect import ClusterService, ClusterServiceASGIApplication
from flyteidl2.common import run_pb2
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.dataproxy.dataproxy_service_connect import (
    DataProxyService,
    DataProxyServiceASGIApplication,
)
from flyteidl2.task import common_pb2
from flyteidl2.task.task_service_connect import TaskServiceASGIApplication
from flyteidl2.trigger.trigger_service_connect import TriggerServiceASGIApplication
from flyteidl2.workflow.queue_service_connect import QueueServiceASGIApplication
from flyteidl2.workflow.run_service_connect import RunServiceASGIApplication
from flyteidl2.workflow.state_service_connect import StateServiceASGIApplication

from tests.console.actions import Action, Machine
from tests.console.blobs import Blobs
from tests.console.registry import Registry
from tests.console.runs import ROOT, Runs

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class Data(ClusterService, DataProxyService):
    """ClusterService and DataProxyService."""

    def __init__(self, blobs: Blobs, runs: Runs) -> None:
        self._blobs, self._runs = blobs, runs

    async def select_cluster(self, _: object, __: object) -> payload_pb2.SelectClusterResponse:
        """There is one."""
        return payload_pb2.SelectClusterResponse()

    async def create_upload_location(
        self, request: dataproxy_service_pb2.CreateUploadLocationRequest, _: object
    ) -> dataproxy_service_pb2.CreateUploadLocationResponse:
        """Where the code's bundle is put."""
        root = request.filename_root or secrets.token_hex(8)
        uri = f"{self._blobs.root}/uploads/{request.project}/{root}/{request.filename}"
        return dataproxy_service_pb2.CreateUploadLocationResponse(
            signed_url=self._blobs.url(uri), native_url=uri
        )

    async def upload_inputs(
        self, request: dataproxy_service_pb2.UploadInputsRequest, _: object
    ) -> dataproxy_service_pb2.UploadInputsResponse:
        """Keep the inputs of a run or a trigger."""
        name = secrets.token_hex(8)
        uri = f"{self._blobs.root}/inputs/{name}/inputs.pb"
        await self._blobs.put(uri, request.inputs.SerializeToString())
        data = run_pb2.OffloadedInputData(uri=uri, inputs_hash=name)
        return dataproxy_service_pb2.UploadInputsResponse(offloaded_input_data=data)

    async def get_action_data(
        self, request: dataproxy_service_pb2.GetActionDataRequest, _: object
    ) -> dataproxy_service_pb2.GetActionDataResponse:
        """What an action was given and made."""
        action = self._runs.action(request.action_id.run.name, request.action_id.name)
        given = await self._blobs.get(action.inputs)
        made = await self._blobs.get(f"{action.output}/outputs.pb")
        return dataproxy_service_pb2.GetActionDataResponse(
            inputs=common_pb2.Inputs.FromString(given), outputs=common_pb2.Outputs.FromString(made)
        )


class ControlPlane:
    """The server, and what it knows.

    Args:
        folder: pods' folders are in it.
        blobs: where bundles, inputs and outputs are.
        variables: what every pod is given.
    """

    def __init__(self, folder: Path, blobs: Blobs, variables: Mapping[str, str]) -> None:
        self.calls: list[str] = []
        """Each RPC, `Service/Method`."""
        config = uvicorn.Config(
            self._answer, host="127.0.0.1", port=0, interface="asgi3", log_level="warning"
        )
        self._server = uvicorn.Server(config)
        socket = config.bind_socket()
        self.endpoint = f"dns:///127.0.0.1:{socket.getsockname()[1]}"
        self.registry = Registry()
        self.runs = Runs(self.registry, Machine(folder, self.endpoint, blobs, variables))
        data = Data(blobs, self.runs)
        self._apps: dict[str, App] = {
            "/flyteidl2.cluster.ClusterService": ClusterServiceASGIApplication(data),
            "/flyteidl2.dataproxy.DataProxyService": DataProxyServiceASGIApplication(data),
            "/flyteidl2.task.TaskService": TaskServiceASGIApplication(self.registry),
            "/flyteidl2.trigger.TriggerService": TriggerServiceASGIApplication(self.registry),
            "/flyteidl2.workflow.RunService": RunServiceASGIApplication(self.runs),
            "/flyteidl2.workflow.QueueService": QueueServiceASGIApplication(self.runs),
            "/flyteidl2.workflow.StateService": StateServiceASGIApplication(self.runs),
        }
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [socket]}, daemon=True
        )
        self._thread.start()

    async def _answer(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        service, _, method = str(scope["path"]).rpartition("/")
        self.calls.append(f"{service.rpartition('.')[2]}/{method}")
        if service in self._apps:
            await self._apps[service](scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def wait(self, run: str, seconds: float = 600) -> Action:
        """A run's first action, when it has ended."""
        end = time.monotonic() + seconds
        action = self.runs.action(run)
        while action.ended is None:
            if time.monotonic() > end:
                raise TimeoutError(f"run {run} has not ended")
            time.sleep(0.1)
        return action

    def stages(self, run: str) -> dict[str, Action]:
        """Stage -> a run's children."""
        return {a.spec.short_name: a for a in self.runs.of(run) if a.id.name != ROOT}

    def close(self) -> None:
        """Leave nothing behind."""
        self.runs.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)
