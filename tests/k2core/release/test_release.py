"""The stage as a whole, on tiny weights: Megatron and transformers are real."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from k2core.model.config import load_shape
from k2core.model.hf import write_json
from k2core.release import assemble_release
from k2core.release.parity import ParityError, check_parity
from k2core.release.readers import Expected, ReaderError, ask_reader, compare, list_readers
from k2core.store import Draft, Store
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, TokenCorpus, TrajectorySet
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.optim import OptimConfig
from schemas.release import ReleaseConfig
from tests.k2core.release.conftest import SaveModel
from tests.k2core.release.facts import SOURCES, scores
from tests.k2core.release.served import Served
from tests.k2core.tokens.token_corpus import write_corpus

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = ReleaseConfig(num_parity_tokens=128, num_greedy_tokens=6)
TOKENS = [(7 * n) % 2048 for n in range(130)]
TUNED = Artifact(kind="checkpoint", digest=f"sha256:{'0' * 64}", counts={"dialogues": 77.0})
RECORDS = [
    LineageRecord(stage="clean", version="1"),
    LineageRecord(stage="sft", version="2", outputs={"checkpoint": TUNED}),
]


def publish(store: Store, kind: type[Artifact], folder: Path, **counts: float) -> Artifact:
    if folder.name in SOURCES:
        (folder / "sources.json").write_text(json.dumps(SOURCES[folder.name]))
    return store.publish(kind, Draft(folder, counts))


def make_inputs(store: Store, work: Path, save_model: SaveModel) -> dict[str, Artifact]:
    for name in ("raw", "tokens", "trajectories", "evaluation"):
        (work / name).mkdir()
    write_corpus(work / "tokens", {"math": (80, 70), "web": (90,)}, {"math": 150, "web": 90})
    (work / "evaluation" / "scores.json").write_text(scores().model_dump_json())
    return {
        "base": publish(store, Checkpoint, save_model(work / "base", 0)),
        "policy": publish(store, Checkpoint, save_model(work / "policy", 1)),
        "evaluation": publish(store, Evaluation, work / "evaluation"),
        "raw": publish(store, RawCorpus, work / "raw"),
        "tokens": publish(store, TokenCorpus, work / "tokens", train_tokens=240.0),
        "trajectories": publish(store, TrajectorySet, work / "trajectories", trajectories=77.0),
    }


@pytest.fixture
def trainer_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Megatron in this process: its own takes seconds to start, so one test has it."""

    def logits(folder: Path, rows: "Tensor") -> "Tensor":
        from k2core.engines.megatron.trainer import Trainer

        return Trainer(load_shape(folder), OptimConfig(), seed=0, checkpoint=folder).logits(rows)

    monkeypatch.setattr("k2core.release.parity._megatron_logits", logits)


@pytest.mark.usefixtures("trainer_here")
def test_a_release_holds_all_that_a_stranger_needs(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k2core.engines.ray.serve", lambda folder, **_: Served(folder))
    store = Store(tmp_path / "store")
    inputs = make_inputs(store, tmp_path, save_model)
    workspace = store.workspace("release")
    draft = assemble_release(CONFIG, **inputs, lineage=RECORDS, workspace=workspace)  # type: ignore[arg-type]
    out = draft.folder
    for name in ("base", "policy"):
        served = store.open(inputs[name])
        added = {"README.md", "LICENSES.md"}
        assert {p.name for p in (out / name).iterdir()} == {
            p.name for p in served.iterdir()
        } | added
        weights = "model.safetensors"
        assert (out / name / weights).read_bytes() == (served / weights).read_bytes()

    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    files = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    assert sums.keys() == files.keys() - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest

    parity = json.loads((out / "parity.json").read_text())
    for about in (parity["base"], parity["policy"]):
        assert about["tokens"] == 128
        assert 0 < about["max_logit_difference"] <= CONFIG.max_logit_difference
        assert about["argmax_equal_frac"] == 1
        assert about["greedy_tokens_equal"] == 6
        read = {reader["reader"].split(".")[0]: reader for reader in about["readers"]}
        assert read["transformers 5"]["dialogues_equal"] == 42
        assert read["transformers 5"]["max_logit_difference"] <= CONFIG.max_logit_difference
        assert set(read) == {"transformers 4", "transformers 5"}
    lineage = json.loads((out / "lineage.json").read_text())
    assert [LineageRecord.model_validate(record) for record in lineage] == RECORDS

    page = (out / "base" / "LICENSES.md").read_text()
    assert page == (out / "policy" / "LICENSES.md").read_text()
    for sources in SOURCES.values():
        for name, about in sources.items():
            assert f"| {name} | {about['license']} |" in page
    assert "# k2-tiny-base\n" in (out / "base" / "README.md").read_text()
    card = (out / "policy" / "README.md").read_text()
    assert "| finetuning, loss on the assistant's tokens | 77 dialogues |" in card
    assert "base_model: your-organization/k2-tiny-base" in card
    assert draft.counts["files"] == len(files)
    assert (draft.counts["sources"], draft.counts["stages"]) == (3, 2)


def test_a_server_of_other_weights_is_found_out(tmp_path: Path, save_model: SaveModel) -> None:
    released, other = save_model(tmp_path / "policy", 1), save_model(tmp_path / "base", 0)
    with pytest.raises(ParityError, match=r"policy: vLLM continues \[.*\], transformers \["):
        check_parity(released, TOKENS, Served(other), CONFIG)  # type: ignore[arg-type]


@pytest.mark.usefixtures("trainer_here")
def test_a_config_that_changes_what_is_computed_is_found_out(
    tmp_path: Path, save_model: SaveModel
) -> None:
    folder = save_model(tmp_path / "policy", 1)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"norm_topk_prob": False})
    said = r"policy: transformers' logits differ from Megatron's by \d.* at token \d+, more than"
    with pytest.raises(ParityError, match=said):
        check_parity(folder, TOKENS, Served(folder), CONFIG)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["lost", "added"])
def test_a_tensor_lost_or_added_is_named(
    tmp_path: Path, save_model: SaveModel, change: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    path = save_model(tmp_path / "policy", 1) / "model.safetensors"
    weights = load_file(path)
    if change == "lost":
        del weights["model.norm.weight"]
    else:
        weights["model.extra.weight"] = torch.zeros(2)
    save_file(weights, path, metadata={"format": "pt"})
    name = {"lost": "model.norm.weight", "added": "model.extra.weight"}[change]
    with pytest.raises(ParityError, match=f"misses or does not know .*{name}"):
        check_parity(path.parent, TOKENS, None, CONFIG)  # type: ignore[arg-type]


def test_too_little_held_out_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"63 held-out tokens are too few: 64 are needed"):
        check_parity(tmp_path, TOKENS[:63], None, CONFIG)  # type: ignore[arg-type]


def test_a_source_without_licence_stops_the_stage_before_engines_start(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "raw", {"found": {"package": "somewhere"}})
    store = Store(tmp_path / "store")
    inputs = make_inputs(store, tmp_path, save_model)
    workspace = store.workspace("release")
    with pytest.raises(ValueError, match="source 'found' has no license"):
        assemble_release(CONFIG, **inputs, lineage=RECORDS, workspace=workspace)  # type: ignore[arg-type]


FAULTS: tuple[tuple[str, dict[str, object], str], ...] = (
    ("config.json", {"rope_theta": 10_000.0, "rope_parameters": None}, "logits differ"),
    ("tokenizer_config.json", {"tokenizer_class": "NoSuchClass"}, "cannot read it"),
    ("tokenizer_config.json", {"extra_special_tokens": ["[EOS]"]}, "cannot read it"),
)
"""The kinds that transformers 4 takes without a word, or not at all."""


def test_a_folder_that_a_reader_elsewhere_takes_wrongly_is_found_out(
    tmp_path: Path, save_model: SaveModel
) -> None:
    readers = {name: path for name, path in list_readers().items() if path}
    if not readers:
        pytest.skip("no reader but transformers 5 is installed: make setup")
    import torch
    from transformers import DeepseekV3ForCausalLM

    whole = save_model(tmp_path / "policy", 1)
    row = torch.tensor(TOKENS[:100])
    with torch.no_grad():
        right = DeepseekV3ForCausalLM.from_pretrained(whole)(row[None]).logits[0]
    checkpoints = [Expected(whole, [row], [right], [])]
    for number, (file, change, _) in enumerate(FAULTS):
        folder = Path(shutil.copytree(whole, tmp_path / f"fault-{number}"))
        write_json(folder / file, json.loads((folder / file).read_text()) | change)
        checkpoints.append(checkpoints[0]._replace(folder=folder))
    for name, packages in readers.items():
        answers = ask_reader(name, packages, checkpoints)
        assert compare(name, checkpoints[0], answers[0], 1e-4).checked
        for checkpoint, answer, (_, _, said) in zip(
            checkpoints[1:], answers[1:], FAULTS, strict=True
        ):
            with pytest.raises(ReaderError, match=said):
                compare(name, checkpoint, answer, 1e-4)
