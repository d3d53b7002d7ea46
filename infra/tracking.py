"""The tracking server: its client, the experiment of all runs, and runs by what they are."""

import logging
import os
from functools import lru_cache

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from infra.home import tracking_uri
from infra.moved import artifacts_uri, prepare_home
from infra.runs import EXPERIMENT

# Reading a run's own JSON file is no download to watch, and making the tables no news.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# The standard output is the command's own: JSON stands alone there.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# By itself the client asks an absent server for four minutes; who waits, and for how long, is said.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it is raised, too


@lru_cache(maxsize=4)
def _client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def client() -> MlflowClient:
    """The tracking client for `MLFLOW_TRACKING_URI`, by default SQLite in the home."""
    if "MLFLOW_TRACKING_URI" not in os.environ:
        prepare_home()
    return _client(tracking_uri())


def experiment_id() -> str:
    """The experiment that holds all runs, created on first use."""
    found = client().get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    place = None if "MLFLOW_TRACKING_URI" in os.environ else artifacts_uri()
    try:
        return client().create_experiment(EXPERIMENT, artifact_location=place)
    except MlflowException:  # somebody else was faster
        found = client().get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise
        return str(found.experiment_id)


def find_runs(status: str = "", **tags: str) -> list[Run]:
    """All runs whose `k2.` tags have these values, the newest first."""
    asked = [f"tags.`k2.{name}` = '{value}'" for name, value in tags.items()]
    query = " and ".join(asked + ([f"attributes.status = '{status}'"] if status else []))
    runs: list[Run] = []
    token = None
    while True:
        page = client().search_runs(
            [experiment_id()],
            query,
            max_results=1000,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs
