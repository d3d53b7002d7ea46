"""Every test starts alike: a home of its own, one thread, no downloads, repeatable examples."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent
_HOME = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before any test module is imported; child processes inherit it."""
    for name in [name for name in os.environ if name.startswith(("K2_", "MLFLOW_"))]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="k2-tests-"))
    config.stash[_HOME] = home
    os.environ["K2_HOME"] = str(home)
    gc.disable()  # a third of the time of importing all that is tested
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    settings.register_profile("k2", deadline=None, derandomize=True, database=None)
    settings.load_profile("k2")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The pipeline's own run first: nothing else takes as long, and the rest fits beside it."""
    items.sort(key=lambda item: item.path.name != "test_smoke.py")


def pytest_collection_finish() -> None:
    """What is imported by now is there to stay: cycles are looked for among the rest alone."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the home; runs of the user's own are never touched."""
    shutil.rmtree(config.stash[_HOME], ignore_errors=True)
