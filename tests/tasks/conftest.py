import shutil
from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "config.yaml").write_text("local:\n  persistence: true\n")
    shutil.copy(empty_database, tmp_path)
    return tmp_path
