"""From a Flyte action to its MLflow run, and back."""

import os
from urllib.parse import quote

import flyte

from infra.faults import is_away


class MlflowLink(flyte.Link):
    """The stage's run in MLflow, found there by the names that Flyte gave it."""

    name = "MLflow"
    icon_uri = ""

    def get_link(
        self,
        run_name: str,
        project: str,
        domain: str,
        context: dict[str, str],
        parent_action_name: str,
        action_name: str,
        pod_name: str,
        **_: object,
    ) -> str:
        """MLflow's list with this one run; Flyte fills in names that are still templates.

        A deployment need not reach the tracking server, which alone knows the experiment's number:
        where no task runs, and while the server is away, the link is MLflow's first page.
        """
        if not flyte.ctx():
            return mlflow_ui()
        from infra.tracking import experiment_id

        try:
            number = experiment_id()
        except Exception as error:
            if not is_away(error):
                raise
            return mlflow_ui()
        before = f"tags.`k2.flyte_run` = '{run_name}' and tags.`k2.flyte_action` = '"
        found = quote(before) + action_name + quote("'")
        return f"{mlflow_ui()}/#/experiments/{number}?searchFilter={found}"


def mlflow_ui() -> str:
    """Where people see MLflow: `K2_MLFLOW_UI`, by default the tracking server; empty: nowhere."""
    place = os.environ.get("K2_MLFLOW_UI") or os.environ.get("MLFLOW_TRACKING_URI", "")
    return place.rstrip("/") if place.startswith(("http://", "https://")) else ""


def flyte_url(run: str, action: str) -> str:
    """An action's page in Flyte's console at `K2_FLYTE_UI`; empty outside of a cluster."""
    place = os.environ.get("K2_FLYTE_UI", "").rstrip("/")
    project = os.environ.get("FLYTE_INTERNAL_EXECUTION_PROJECT")
    domain = os.environ.get("FLYTE_INTERNAL_EXECUTION_DOMAIN")
    if not (place and project and domain):
        return ""
    return f"{place}/v2/domain/{domain}/project/{project}/runs/{run}?i={quote(action, safe='')}"


def console_of(endpoint: str, *, insecure: bool) -> str:
    """The console of a backend, where nothing says that it is elsewhere."""
    from flyte.remote._client.controlplane import Console

    return Console(endpoint, insecure).run_url("", "", "").partition("/v2/")[0]
