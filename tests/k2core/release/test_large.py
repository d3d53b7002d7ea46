"""A checkpoint larger than a reader's memory: its layers wait on the disk, and say the same."""

from pathlib import Path

import pytest

from k2core.release.readers import Expected, ask_reader, compare, list_readers
from tests.k2core.release.conftest import SaveModel
from tests.k2core.release.test_release import TOKENS


@pytest.mark.slow
def test_readers_hold_a_layer_at_a_time_of_a_large_model(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import DeepseekV3ForCausalLM

    folder = save_model(tmp_path / "policy", 1)
    row = torch.tensor(TOKENS[:100])
    with torch.no_grad():
        right = DeepseekV3ForCausalLM.from_pretrained(folder)(row[None]).logits[0]
    expected = Expected(folder, [row], [right], [])
    monkeypatch.setenv("READER_BYTES", "0")
    for name, packages in list_readers().items():
        (answer,) = ask_reader(name, packages, [expected])
        assert compare(name, expected, answer, 1e-4).checked
