import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.base import Artifact
from schemas.lineage import LineageRecord

Record = Callable[..., LineageRecord]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """Where this module's runs are recorded."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("K2_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def record(home: Path) -> Record:
    """Records a finished stage of a run."""
    from infra.lineage import StageRun  # reads the environment, which the root conftest sets

    keys = itertools.count()

    def finish(
        flyte_run: str,
        stage: str,
        inputs: dict[str, Artifact],
        outputs: dict[str, Artifact],
        **configs: object,
    ) -> LineageRecord:
        record = LineageRecord.model_validate(
            {"stage": stage, "version": "1", "configs": configs, "inputs": inputs}
        )
        run = StageRun(record, f"key-{next(keys)}", flyte_run, "a0")
        run.finish(outputs)
        return run.record

    return finish
