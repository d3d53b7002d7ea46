import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.home import ROOT
from tests.console.blobs import Blobs
from tests.console.plane import ControlPlane

if TYPE_CHECKING:
    from tests.s3 import S3

PROJECT = ("--project", "k2", "--domain", "development")


class Console:
    """A control plane on which everything was deployed, and the commands that speak to it."""

    def __init__(self, plane: ControlPlane, folder: Path, variables: dict[str, str]) -> None:
        self.plane, self.folder, self.variables = plane, folder, variables
        self.deployed = self.run(
            *(sys.executable, "-m", "infra.deploy", "--endpoint", plane.endpoint, *PROJECT),
            K2_NOTIFY="oncall@example.org, night@example.org",
        )

    def run(self, *command: str, **variables: str) -> str:
        """What a command on this machine prints; an error if it fails."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("K2_", "MLFLOW", "MAKE"))}
        env |= {
            "K2_HOME": str(self.folder / "home"),
            "COLUMNS": "200",
            **self.variables,
            **self._flyte,
        }
        env |= variables
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-4000:]
        return done.stdout

    def flyte(self, *arguments: str) -> str:
        """What the unchanged client prints."""
        flyte = str(Path(sys.executable).with_name("flyte"))
        return self.run(flyte, "--endpoint", self.plane.endpoint, "--insecure", *arguments)

    def k2(self, *arguments: str) -> str:
        """What our own command prints."""
        return self.run(sys.executable, "-m", "workflows.cli", *arguments)

    @property
    def _flyte(self) -> dict[str, str]:
        """What Flyte's own configuration would say."""
        return {
            "FLYTE_ADMIN_ENDPOINT": self.plane.endpoint,
            "FLYTE_ADMIN_INSECURE": "true",
            "FLYTE_TASK_PROJECT": "k2",
            "FLYTE_TASK_DOMAIN": "development",
        }


@pytest.fixture(scope="session")
def console(
    s3_server: "S3", tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator[Console]:
    """One for all tests: the store and Flyte's own files in buckets, lineage in a database."""
    folder = tmp_path_factory.mktemp("console")
    shutil.copy(empty_database, folder)
    name = f"console-{uuid.uuid4().hex[:8]}"
    blobs = Blobs(s3_server, name)
    variables = {
        "K2_STORE": f"{blobs.root}/store",
        "K2_REGISTRY": "registry.example/team",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "K2_MLFLOW_UI": "http://mlflow.example",
    }
    secrets = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "FLYTE_AWS_ENDPOINT": s3_server.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": "key",
        "FLYTE_AWS_SECRET_ACCESS_KEY": "secret",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=variables["MLFLOW_TRACKING_URI"]).create_experiment(
        "k2", artifact_location=str(folder / "kept")
    )
    plane = ControlPlane(folder / "pods", blobs, secrets)
    try:
        yield Console(plane, folder, variables)
    finally:
        plane.close()
