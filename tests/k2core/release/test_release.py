"""The stage as a whole, on tiny weights: Megatron and transformers are real."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from k2core.model.hf import describe_shape, load_weights, write_json
from k2core.model.shards import CheckpointWriter
from k2core.model.tensors import tensor_shapes
from k2core.release import assemble_release
from k2core.release.parity import (
    ParityError,
    check_parity,
    compute_logits,
    compute_theirs,
    cut_windows,
    open_model,
)
from k2core.release.readers import Expected, ReaderError, ask_reader, compare, list_readers
from k2core.store import Draft, Store
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, TokenCorpus, TrajectorySet
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from schemas.model import ModelShape
from schemas.placement import Placement
from schemas.release import ReleaseConfig
from tests.k2core.release.conftest import SaveModel
from tests.k2core.release.facts import SOURCES, scores
from tests.k2core.release.served import Served
from tests.k2core.shapes import tiny_shape
from tests.k2core.tokens.token_corpus import write_corpus
from workflows.verify_folder import verify_folder

CONFIG = ReleaseConfig(parity_windows=(64, 100), num_greedy_tokens=6, serving_requests=0)
TOKENS = [(7 * n) % 2048 for n in range(130)]
TUNED = Artifact(kind="checkpoint", digest=f"sha256:{'0' * 64}", counts={"dialogues": 77.0})
RECORDS = [
    LineageRecord(stage="clean", version="1"),
    LineageRecord(stage="sft", version="2", outputs={"checkpoint": TUNED}),
]
REST = {"lineage": RECORDS, "placement": Placement()}


def publish(store: Store, kind: type[Artifact], folder: Path, **counts: float) -> Artifact:
    if folder.name in SOURCES:
        (folder / "sources.json").write_text(json.dumps(SOURCES[folder.name]))
    return store.publish(kind, Draft(folder, counts))


def make_inputs(store: Store, work: Path, save_model: SaveModel) -> dict[str, Artifact]:
    for name in ("raw", "tokens", "trajectories", "evaluation"):
        (work / name).mkdir()
    write_corpus(work / "tokens", {"math": (80, 70), "web": (90,)}, {"math": 150, "web": 90})
    stats = {
        "accepted": {"lookup": 70, "scenario": 7},
        "rejected": {"lookup": 4},
        "reasons": {"agent: wrong_answer": 4},
        "calls": {"1": 70},
        "turns": {"2": 77},
        "characters": {"mean": 90.0, "median": 80, "largest": 900},
    }
    (work / "trajectories" / "stats.json").write_text(json.dumps(stats))
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

    monkeypatch.setattr("k2core.release.parity._megatron_logits", compute_logits)


@pytest.mark.usefixtures("trainer_here")
def test_a_release_holds_all_that_a_stranger_needs(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file

    monkeypatch.setattr("k2core.engines.ray.serve", lambda model, *_, **__: Served(model()))
    store = Store(tmp_path / "store")
    inputs = make_inputs(store, tmp_path, save_model)
    workspace = store.workspace("release")
    draft = assemble_release(CONFIG, **inputs, workspace=workspace, **REST)  # type: ignore[arg-type]
    out = draft.folder
    for name in ("base", "policy"):
        served = store.open(inputs[name])
        added = {"README.md", "LICENSES.md"}
        assert {p.name for p in (out / name).iterdir()} == {
            p.name for p in served.iterdir()
        } | added
        weights = "model.safetensors"
        assert (out / name / weights).read_bytes() == (served / weights).read_bytes()

        said = json.loads((out / name / "generation_config.json").read_text())
        assert (said["temperature"], said["top_k"], said["do_sample"]) == (0.7, 0, True)
        rounded = load_file(out / f"{name}-bf16" / weights)
        for key, tensor in load_file(out / name / weights).items():
            is_bias = key.endswith("e_score_correction_bias")
            assert rounded[key].dtype == (torch.float32 if is_bias else torch.bfloat16)
            assert torch.equal(rounded[key], tensor.to(rounded[key].dtype))
        assert json.loads((out / f"{name}-bf16" / "config.json").read_text())["dtype"] == "bfloat16"

    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    files = {p.relative_to(out).as_posix(): p for p in out.rglob("*") if p.is_file()}
    assert sums.keys() == files.keys() - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest

    parity = json.loads((out / "parity.json").read_text())
    for about in (parity["base"], parity["policy"]):
        assert about["windows"] == [64, 100]
        assert about["tokens"] == 164
        assert 0 < about["max_logit_difference"] <= CONFIG.max_logit_difference
        assert about["argmax_equal_frac"] == 1
        assert about["greedy_tokens_equal"] == 2 * 6
        assert about["bf16"]["max_logit_difference"] > 1e-4
        assert 0.8 < about["bf16"]["argmax_equal_frac"] <= 1
        read = {reader["reader"].split(".")[0]: reader for reader in about["readers"]}
        assert read["transformers 5"]["dialogues_equal"] == 42
        assert read["transformers 5"]["max_logit_difference"] <= CONFIG.max_logit_difference
        assert set(read) == {"transformers 4", "transformers 5"}
    lineage = json.loads((out / "lineage.json").read_text())
    assert [LineageRecord.model_validate(record) for record in lineage] == RECORDS

    text, told = ((out / "data" / name).read_text() for name in ("text.md", "dialogues.md"))
    assert "| math | 50% | 150 | 2 | 1.00 | 150 |" in text
    assert (
        "| wiki | knowledge, 7 documents | CC-BY-SA-4.0 | its authors | wiki-offline 1.2 |" in text
    )
    assert "| lookup | 70 | 4 |" in told
    assert "Rejected for: agent: wrong_answer 4." in told
    for card in (text, told):
        assert DatasetCard(card).data.to_dict()["license"] == "other"  # type: ignore[no-untyped-call]

    page = (out / "base" / "LICENSES.md").read_text()
    assert page == (out / "policy" / "LICENSES.md").read_text()
    for sources in SOURCES.values():
        for name, about in sources.items():
            assert re.search(rf"^\| {name} \|.*\| {about['license']} \|", page, re.MULTILINE)
    assert "# k2-tiny-base\n" in (out / "base" / "README.md").read_text()
    card = (out / "policy" / "README.md").read_text()
    assert "| finetuning, loss on the assistant's tokens | 77 dialogues |" in card
    assert "base_model: your-organization/k2-tiny-base" in card
    rounded_card = (out / "policy-bf16" / "README.md").read_text()
    assert "# k2-tiny-bf16\n" in rounded_card
    assert "base_model: your-organization/k2-tiny\n" in rounded_card
    assert "Rounded to bf16 the logits differ by at most" in rounded_card
    assert verify_folder(out / "policy-bf16").divergences == []
    assert draft.counts["files"] == len(files)
    assert (draft.counts["sources"], draft.counts["stages"]) == (3, 2)


def test_a_server_of_other_weights_is_found_out(tmp_path: Path, save_model: SaveModel) -> None:
    released, other = save_model(tmp_path / "policy", 1), save_model(tmp_path / "base", 0)
    with pytest.raises(ParityError, match=r"policy: vLLM continues \[.*\], transformers \["):
        check_parity(released, TOKENS, Served(other), CONFIG)  # type: ignore[arg-type]


def test_a_folder_that_computes_something_else_is_found_out(
    tmp_path: Path, save_model: SaveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = save_model(tmp_path / "policy", 1), save_model(tmp_path / "other", 2)
    monkeypatch.setattr(
        "k2core.release.parity._megatron_logits", lambda _, windows: compute_logits(other, windows)
    )
    said = r"policy: transformers' logits differ from Megatron's by .* of 64, 100 tokens, more than"
    with pytest.raises(ParityError, match=said):
        check_parity(folder, TOKENS, Served(folder), CONFIG)  # type: ignore[arg-type]


def test_a_model_held_whole_and_a_layer_at_a_time_compute_the_same(
    tmp_path: Path, save_model: SaveModel
) -> None:
    import torch

    folder, windows = save_model(tmp_path / "policy", 1), [torch.arange(9), torch.arange(30)]
    with open_model(folder) as whole, open_model(folder, max_bytes=0) as streamed:
        assert [p.device.type for p in whole.parameters()].count("cpu") == len(
            list(whole.parameters())
        )
        assert "meta" in {p.device.type for p in streamed.parameters()}
        pairs = zip(compute_theirs(whole, windows), compute_theirs(streamed, windows), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


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


def test_windows_go_beyond_what_yarn_extends() -> None:
    shape = ModelShape(
        max_position_embeddings=512, original_max_position_embeddings=128, yarn_factor=4.0
    )
    found = cut_windows(TOKENS, shape, (64, 100))
    assert [len(window) for window in found] == [64, 100, 192]
    assert [t for window in found for t in window.tolist()] == (TOKENS * 3)[: 64 + 100 + 192]
    assert [len(w) for w in cut_windows(TOKENS, shape, (64, 900))] == [64, 512]


_ROUND = """
import resource, sys
from pathlib import Path
import torch
from k2core.release.precision import round_weights

torch.set_num_threads(1)
status = Path("/proc/self/status").read_text()
used = int(status.split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 12 * 2**20,) * 2)
round_weights(Path(sys.argv[1]), Path(sys.argv[2]), max_bytes=10_000_000)
"""


_PROVE = """
import sys, threading
from pathlib import Path
import torch
from k2core.release.parity import compute_logits, compute_theirs, largest_difference, open_model

def prove(folder):
    windows = [torch.arange(40), torch.arange(7, 70)]
    with open_model(Path(folder), max_bytes=0) as model:
        theirs = compute_theirs(model, windows)
    ours = compute_logits(Path(folder), windows)
    return largest_difference(ours, theirs), float(ours[0].abs().max())

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

torch.set_num_threads(1)
prove(sys.argv[1])  # a small one: what is imported then is there
before, seen, stop = resident(), [0], threading.Event()

def watch():
    while not stop.wait(0.002):
        seen[0] = max(seen[0], resident())

threading.Thread(target=watch, daemon=True).start()
found = prove(sys.argv[2])
stop.set()
print(*found, seen[0] - before)
"""


@pytest.mark.slow
def test_a_model_larger_than_the_memory_is_proved(tmp_path: Path) -> None:
    """Of 200 MiB in 16 layers less than half is ever held, what files are mapped to apart."""
    import torch

    sizes = {"small": (2, 32), "large": (16, 1024)}
    for name, (layers, width) in sizes.items():
        shape = tiny_shape(num_layers=layers, hidden_size=256, moe_ffn_hidden_size=width)
        folder = tmp_path / name
        folder.mkdir()
        write_json(folder / "config.json", describe_shape(shape))
        writer = CheckpointWriter(folder, tensor_shapes(shape))
        writer.create()
        generator = torch.Generator().manual_seed(0)
        for tensor, size in tensor_shapes(shape).items():
            drawn = torch.randn(size, generator=generator) * 0.05
            writer.write(tensor, drawn + 1 if "norm" in tensor else drawn)
        writer.finish()
    assert writer.num_bytes > 200 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", _PROVE, *(str(tmp_path / name) for name in sizes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    difference, largest, grown = map(float, done.stdout.split()[-3:])
    assert difference < 1e-3 < largest
    assert 0 < grown < writer.num_bytes / 2


@pytest.mark.slow
def test_a_model_larger_than_the_memory_is_rounded(tmp_path: Path) -> None:
    """50 MiB of fp32, with 12 to spare."""
    import torch

    shape = tiny_shape(hidden_size=256, moe_ffn_hidden_size=768, num_experts=20)
    folder = tmp_path / "whole"
    folder.mkdir()
    write_json(folder / "config.json", describe_shape(shape))
    writer = CheckpointWriter(folder, tensor_shapes(shape))
    writer.create()
    for name in writer.places:
        writer.write(name, torch.full(tensor_shapes(shape)[name], 1.001))
    writer.finish()
    assert writer.num_bytes > 50 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", _ROUND, str(folder), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = load_weights(tmp_path / "out")
    assert found.keys() == tensor_shapes(shape).keys()
    assert float(found["lm_head.weight"][0, 0]) == 1.0
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 2


def test_too_little_held_out_text_is_an_error(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", describe_shape(tiny_shape()))
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
        assemble_release(CONFIG, **inputs, workspace=workspace, **REST)  # type: ignore[arg-type]


FAULTS: tuple[tuple[str, dict[str, object], str], ...] = (
    ("config.json", {"rope_theta": 10_000.0, "rope_parameters": None}, "logits differ"),
    ("tokenizer_config.json", {"tokenizer_class": "NoSuchClass"}, "cannot read it"),
    ("tokenizer_config.json", {"extra_special_tokens": ["[EOS]"]}, "cannot read it"),
)
"""The kinds that transformers 4 takes without a word, or not at all."""


@pytest.mark.slow
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
