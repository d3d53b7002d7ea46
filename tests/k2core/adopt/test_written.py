"""What transformers wrote, in both its major versions, is the same model in Megatron."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from k2core.adopt import CheckpointSource, adopt_checkpoint, look_at_config
from k2core.engines.megatron.trainer import Trainer
from k2core.release.readers import READERS
from k2core.store import Store
from schemas.adopt import AdoptConfig
from schemas.optim import OptimConfig
from tests.k2core.adopt import written
from tests.k2core.adopt.variants import list_variants

DRAWN = ("k2", "deepseek")
"""Of these, the default suite tries what transformers 5 writes."""


def assert_equal_in_megatron(folder: Path, tokenizer: Path, store: Path) -> None:
    shutil.copy(tokenizer / "tokenizer.json", folder)
    shape = look_at_config(CheckpointSource(str(folder), store))[1]
    workspace = Store(store).workspace(folder.name)
    draft = adopt_checkpoint(AdoptConfig(source=str(folder)), shape, workspace)
    trainer = Trainer(shape, OptimConfig(), seed=0, checkpoint=draft.folder)
    expected = torch.from_numpy(np.load(folder.with_name(f"{folder.name}.npy")))
    assert len(expected) > shape.original_max_position_embeddings or shape.yarn_factor == 1
    assert expected.abs().max() > 1
    found = trainer.logits(torch.tensor([written.TEXT]))[0]
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", DRAWN)
def test_logits_equal_transformers_5(tmp_path: Path, tokenizer_folder: Path, name: str) -> None:
    written.write(tmp_path, name, list_variants(5)[name])
    assert_equal_in_megatron(tmp_path / name, tokenizer_folder, tmp_path / "store")


@pytest.mark.slow
@pytest.mark.parametrize("major", [4, 5])
def test_logits_equal_every_version(tmp_path: Path, tokenizer_folder: Path, major: int) -> None:
    packages = str(next(READERS.glob("*"), "")) if major == 4 else ""
    if major == 4 and not packages:
        pytest.skip("no reader but transformers 5 is installed: make setup")
    (tmp_path / "variants.json").write_text(json.dumps(list_variants(major)))
    program = [sys.executable, "-P", written.__file__, str(tmp_path)]
    done = subprocess.run(
        [*program, str(tmp_path / "variants.json")],
        env={**os.environ, "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in list_variants(major):
        about = json.loads((tmp_path / name / "config.json").read_text())
        assert about["transformers_version"].startswith(f"{major}.")
        assert_equal_in_megatron(tmp_path / name, tokenizer_folder, tmp_path / "store")
