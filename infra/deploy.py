"""`make deploy`: registers all tasks with a Flyte backend, or says what is missing.

A pod has nothing of this machine: a store in a folder here, an SQLite file or an image without a
registry deploy without a complaint and fail in every pod.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from infra.cluster import read_cluster
from infra.home import ROOT

_HERE = ("localhost", "127.0.0.1", "::1")


def main(arguments: list[str] | None = None) -> int:
    """Check what would reach the pods, then hand over to `flyte deploy`."""
    parser = argparse.ArgumentParser(description="Register all tasks with a Flyte backend.")
    parser.add_argument("--endpoint", required=True, help="e.g. dns:///flyte.example.org:443")
    parser.add_argument("--project", required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--dry-run", action="store_true", help="serialise, and register nothing")
    asked = parser.parse_args(arguments)
    local = is_local(asked.endpoint)
    problems = find_problems(os.environ, reaches_pods=not (asked.dry_run or local))
    if problems:
        sys.stderr.write("Not deployed:\n" + "".join(f"- {problem}\n" for problem in problems))
        return 2
    from infra.lineage import code_version
    from infra.links import console_of

    # A bundle has no history: the pods are told which code they run.
    os.environ["K2_CODE_VERSION"] = code_version()
    os.environ.setdefault("K2_FLYTE_UI", console_of(asked.endpoint, insecure=local))
    command = [
        *(str(Path(sys.executable).with_name("flyte")), "--endpoint", asked.endpoint),
        *(["--insecure"] if local else []),
        *("deploy", "--project", asked.project, "--domain", asked.domain, "--copy-style", "all"),
        *(["--dry-run"] if asked.dry_run else []),
        *("workflows/console.py", "DRIVER"),
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def is_local(endpoint: str) -> bool:
    """Whether a backend is on this machine: one for trying things out, without encryption."""
    return urlsplit("//" + endpoint.rpartition("//")[2]).hostname in _HERE


def find_problems(environ: Mapping[str, str], reaches_pods: bool) -> list[str]:
    """What would go wrong in the pods, each with the variable to set.

    Args:
        environ: the variables that `infra.cluster` hands to pods.
        reaches_pods: whether pods on other machines will use them.
    """
    problems = []
    try:
        read_cluster(environ)
    except ValueError as error:
        problems.append(str(error))
    for name in ("K2_STORE", "MLFLOW_TRACKING_URI"):
        address = urlsplit(environ.get(name, ""))
        if address.username or address.password:
            problems.append(
                f"{name} holds credentials, which every task's specification would show: put them "
                "into the Secret k2-credentials (docs/cluster.md)"
            )
    if reaches_pods:
        problems += _missing(environ)
    return problems


def _missing(environ: Mapping[str, str]) -> list[str]:
    store, tracking = environ.get("K2_STORE", ""), environ.get("MLFLOW_TRACKING_URI", "")
    missing = []
    if urlsplit(store).scheme in ("", "file", "memory"):
        missing.append(
            f"K2_STORE is {store or 'not set'}: a pod sees no folder of this machine. Set a store "
            "that all pods reach, e.g. s3://bucket/k2"
        )
    if urlsplit(tracking).scheme not in ("http", "https"):
        missing.append(
            f"MLFLOW_TRACKING_URI is {tracking or 'not set'}: lineage would end with each pod. Set "
            "a server, e.g. http://mlflow.k2-development:5000"
        )
    if not environ.get("K2_REGISTRY"):
        missing.append(
            "K2_REGISTRY is not set: no pod could pull an image. Set where images go, e.g. "
            "registry.example/team"
        )
    return missing


if __name__ == "__main__":
    sys.exit(main())
