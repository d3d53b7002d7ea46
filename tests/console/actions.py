"""An action: a stored specification, whose own container command runs as a process."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from flyteidl2.common import identifier_pb2, phase_pb2, run_pb2
from flyteidl2.core import execution_pb2
from flyteidl2.task import common_pb2, task_definition_pb2
from flyteidl2.task import run_pb2 as run_spec_pb2
from flyteidl2.workflow import run_definition_pb2, state_service_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from tests.console.blobs import Blobs

RUNNING = phase_pb2.ACTION_PHASE_RUNNING
SUCCEEDED = phase_pb2.ACTION_PHASE_SUCCEEDED
FAILED = phase_pb2.ACTION_PHASE_FAILED
ABORTED = phase_pb2.ACTION_PHASE_ABORTED
RECOVERED = phase_pb2.ACTION_PHASE_RECOVERED


class Machine(NamedTuple):
    """What runs pods here."""

    folder: Path
    """Each pod has a folder of its own in it, empty at its start."""
    endpoint: str
    """Of the control plane."""
    blobs: Blobs
    variables: Mapping[str, str]
    """What a cluster gives every pod: addresses and names of the object store."""


def now() -> Timestamp:
    """The time, as messages have it."""
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp


def container_of(spec: task_definition_pb2.TaskSpec) -> dict[str, object]:
    """A specification's container: of its pod the primary one."""
    template = spec.task_template
    if not template.HasField("k8s_pod"):
        found: dict[str, object] = MessageToDict(template.container)
        return found
    name = template.config["primary_container_name"]
    pod = MessageToDict(template.k8s_pod.pod_spec)
    (container,) = (c for c in pod["containers"] if c["name"] == name)
    return dict(container)


@dataclass
class Action:
    """What the control plane knows of an action, and the process that it is."""

    id: identifier_pb2.ActionIdentifier
    spec: task_definition_pb2.TaskSpec
    task_id: task_definition_pb2.TaskIdentifier
    inputs: str
    """Address of its inputs."""
    base: str
    """Address below which the run's outputs are."""
    run_spec: run_spec_pb2.RunSpec
    parent: str = ""
    cache_key: str = ""
    trigger: str = ""
    phase: "phase_pb2.ActionPhase" = phase_pb2.ACTION_PHASE_QUEUED
    error: str = ""
    cached: bool = False
    started: Timestamp = field(default_factory=now)
    ended: Timestamp | None = None
    _process: asyncio.subprocess.Process | None = None
    output: str = ""
    """Address below which its outputs are."""

    def __post_init__(self) -> None:
        self.output = self.output or f"{self.base}/{self.id.name}/1"

    def end(self, phase: "phase_pb2.ActionPhase", error: str = "") -> None:
        """Nothing more will happen to it."""
        if self.ended is None:
            self.phase, self.error, self.ended = phase, error, now()

    def abort(self, reason: str) -> None:
        """Kill its process, as a cluster does a pod."""
        self.end(ABORTED, reason)
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    async def run(self, machine: Machine) -> None:
        """Run the specification's own command in an empty folder."""
        place = machine.folder / self.id.run.name / self.id.name
        (place / "pod").mkdir(parents=True)
        container = container_of(self.spec)
        self.phase = RUNNING
        with (place / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(container),
                cwd=place / "pod",
                env=self._environment(container, machine),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            code = await self._process.wait()
        raw = await machine.blobs.get(f"{self.output}/error.pb")
        if raw:
            document = execution_pb2.ErrorDocument.FromString(raw)
            self.end(FAILED, f"{document.error.code}: {document.error.message}")
        elif code:
            said = (place / "log").read_text(errors="replace")[-2000:]
            self.end(FAILED, f"exit {code}: {said}")
        else:
            self.end(SUCCEEDED)

    def _command(self, container: Mapping[str, object]) -> list[str]:
        values = {
            "{{.input}}": self.inputs,
            "{{.outputPrefix}}": self.output,
            "{{.rawOutputDataPrefix}}": f"{self.output}/raw",
            "{{.checkpointOutputPrefix}}": f"{self.output}/checkpoints",
            "{{.prevCheckpointPrefix}}": "",
            "{{.runName}}": self.id.run.name,
            "{{.actionName}}": self.id.name,
            "{{.runStartTime}}": "2026-01-01T00:00:00Z",
        }
        words = [*container.get("command", []), *container.get("args", [])]  # type: ignore[misc]
        return [values.get(str(word), str(word)) for word in words]

    def _environment(self, container: Mapping[str, object], machine: Machine) -> dict[str, str]:
        stated: list[dict[str, str]] = container.get("env", [])  # type: ignore[assignment]
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ["HOME"],
            "OMP_NUM_THREADS": "1",
            **machine.variables,
            **{pair["name"]: pair["value"] for pair in stated if "value" in pair},
            **{pair.key: pair.value for pair in self.run_spec.envs.values},
            "_U_EP_OVERRIDE": machine.endpoint,
            "_U_INSECURE": "1",
            "_U_RUN_BASE": self.base,
            "_U_ORG_NAME": self.id.run.org or "k2",
            "FLYTE_INTERNAL_EXECUTION_PROJECT": self.id.run.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": self.id.run.domain,
            "ACTION_NAME": self.id.name,
            "RUN_NAME": self.id.run.name,
        }

    def status(self) -> run_definition_pb2.ActionStatus:
        """As lists show it."""
        return run_definition_pb2.ActionStatus(
            phase=self.phase, start_time=self.started, end_time=self.ended, attempts=1
        )

    def metadata(self) -> run_definition_pb2.ActionMetadata:
        """What it is of."""
        about = run_definition_pb2.TaskActionMetadata(
            id=self.task_id,
            task_type=self.spec.task_template.type,
            short_name=self.spec.short_name,
        )
        return run_definition_pb2.ActionMetadata(
            parent=self.parent, task=about, trigger_name=self.trigger
        )

    def brief(self) -> run_definition_pb2.Action:
        """As lists show it."""
        return run_definition_pb2.Action(id=self.id, metadata=self.metadata(), status=self.status())

    def details(self) -> run_definition_pb2.ActionDetails:
        """As its page shows it."""
        found = run_definition_pb2.ActionDetails(
            id=self.id, metadata=self.metadata(), status=self.status(), task=self.spec
        )
        outputs = common_pb2.OutputReferences(
            output_uri=f"{self.output}/outputs.pb", report_uri=f"{self.output}/report.html"
        )
        found.attempts.add(
            phase=self.phase,
            start_time=self.started,
            end_time=self.ended,
            attempt=1,
            outputs=outputs,
            log_info=self.spec.task_template.metadata.log_links,
        )
        if self.phase == ABORTED:
            found.abort_info.reason = self.error
        elif self.error:
            found.error_info.message = self.error
            found.error_info.kind = run_definition_pb2.ErrorInfo.KIND_USER
        return found

    def update(self) -> state_service_pb2.ActionUpdate:
        """As its parent is told."""
        found = state_service_pb2.ActionUpdate(
            action_id=self.id, phase=self.phase, output_uri=self.output
        )
        if self.error:
            found.error.code, found.error.message = "UserError", self.error
            found.error.kind = execution_pb2.ExecutionError.USER
        return found


def recovers(run_spec: run_spec_pb2.RunSpec) -> bool:
    """Whether a run goes on from another's actions."""
    return bool(run_spec.relation.relation_type == run_pb2.RELATION_TYPE_RECOVER)
