"""A link of what is only deployed asks nobody: the tracking server may be out of reach."""

import pytest

from infra.links import MlflowLink


def test_outside_of_a_task_the_link_is_mlflows_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K2_MLFLOW_UI", "http://mlflow.example/")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("infra.tracking.experiment_id", lambda: pytest.fail("it was asked"))
    names = ("{{.runName}}", "k2", "development", dict[str, str](), "a0", "{{.actionName}}", "pod")
    assert MlflowLink().get_link(*names) == "http://mlflow.example"
