"""Prints what pools become under given variables, each time in a process of their own.

Reads a JSON list of environments; for each, the pools are imported where `make deploy` runs, and
again with nothing but what DRIVER's pod is given. Both are printed.
"""

import importlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def describe() -> dict[str, object]:
    """Everything that this process would tell Flyte."""
    from flyte._internal.runtime.task_serde import translate_task_to_wire
    from flyte.models import SerializationContext
    from google.protobuf.json_format import MessageToDict

    workflow = importlib.import_module("workflows.k2")
    pools = importlib.import_module("infra.pools")
    context = SerializationContext(version="v", root_dir=ROOT)
    specs = {
        task.short_name: MessageToDict(translate_task_to_wire(task, context))["taskTemplate"]
        for environment in pools.ENVIRONMENTS
        for task in environment.tasks.values()
    }
    assert workflow.k2.short_name in specs
    images = {environment.name: environment.image.uri for environment in pools.ENVIRONMENTS}
    return {
        "images": images,
        "specs": specs,
        "driver": pools.DRIVER.env_vars or {},
    }


def describe_under(variables: dict[str, str]) -> dict[str, object]:
    """`describe` in a child process that has these variables and no others of the project's."""
    read, write = os.pipe()
    if os.fork() == 0:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "K2_HOME")}
        os.environ.clear()
        os.environ.update(kept | variables)
        with os.fdopen(write, "w") as out:
            json.dump(describe(), out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.wait()
    described: dict[str, object] = json.loads(text)
    return described


def main() -> None:
    """Describe each environment as deployed and as its driver's pod sees it."""
    answers = []
    for variables in json.load(sys.stdin):
        deployed = describe_under(variables)
        driver = deployed["driver"]
        assert isinstance(driver, dict)
        answers.append({"deployed": deployed, "in_driver": describe_under(driver)})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    # Imported once, before the forks: what takes seconds and reads none of the variables.
    for module in (
        "flyte",
        "flyte.clustered",
        "mlflow",
        "pandera",
        "flyteplugins.ray",
        "kubernetes.client",
    ):
        importlib.import_module(module)
    main()
