"""Checkpoints of others, brought: what comes out, and what is refused with which words."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from k2core.adopt import (
    AdoptError,
    CheckpointSource,
    adopt_checkpoint,
    look,
    look_at_config,
    pin,
)
from k2core.model.config import load_shape, shape_of
from k2core.model.hf import load_weights
from k2core.model.shards import INDEX
from k2core.model.tensors import tensor_shapes
from k2core.store import Draft, Store
from schemas.adopt import AdoptConfig
from tests.k2core.adopt.conftest import CONFIG, Save, Tensors, draw
from tests.k2core.adopt.variants import Config

ONE = "model.safetensors"


def bring(folder: Path, store: Path, **stated: object) -> Draft:
    config = AdoptConfig.model_validate({"source": str(folder), **stated})
    workspace = Store(store).workspace("adopt")
    shape = look_at_config(CheckpointSource(config.source, store / "far"))[1]
    return adopt_checkpoint(config, shape, workspace)


def brought(folder: Path, store: Path, **stated: object) -> Tensors:
    return load_weights(bring(folder, store, **stated).folder)


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    assert {t.dtype for t in found.values()} == {torch.float32}
    wrong = [name for name, tensor in found.items() if not torch.equal(tensor, expected[name])]
    assert wrong == []


def test_shards_of_any_type_come_as_they_are(save: Save, tmp_path: Path) -> None:
    weights = {name: tensor.bfloat16() for name, tensor in draw().items()}
    weights |= {n: t.float() for n, t in weights.items() if n.endswith("correction_bias")}
    weights["model.norm.weight"] = weights["model.norm.weight"].half()
    parts: dict[str, Tensors] = {f"model-{n}-of-3.safetensors": {} for n in (1, 2, 3)}
    for number, (name, tensor) in enumerate(weights.items()):
        list(parts.values())[number * 7 % 3][name] = tensor
    folder = save(parts)
    draft = bring(folder, tmp_path / "store")
    assert_equal(load_weights(draft.folder), {n: t.float() for n, t in weights.items()})
    assert load_shape(draft.folder) == look_at_config(CheckpointSource(str(folder), tmp_path))[1]
    told = json.loads((draft.folder / "training.json").read_text())
    assert told["stored_as"].keys() == {"BF16", "F16", "F32"}
    assert told["files"].keys() == {*parts, INDEX, "config.json", "tokenizer.json"}
    again = bring(folder, tmp_path / "other", digest=told["digest"])
    for path in draft.folder.iterdir():
        assert path.read_bytes() == (again.folder / path.name).read_bytes()
    assert str(tmp_path) not in (draft.folder / "training.json").read_text()


def quantize(weight: torch.Tensor, block: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """As DeepSeek-V3's: e4m3, and a scale a block."""
    rows, columns = weight.shape
    scales = torch.zeros(-(-rows // block[0]), -(-columns // block[1]))
    low = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    for i in range(len(scales)):
        for j in range(scales.size(1)):
            at = (slice(i * block[0], (i + 1) * block[0]), slice(j * block[1], (j + 1) * block[1]))
            scales[i, j] = weight[at].abs().max() / 448
            low[at] = (weight[at] / scales[i, j]).to(torch.float8_e4m3fn)
    return low, scales


@pytest.mark.parametrize("block", [(128, 128), (16, 32)])
def test_block_scaled_fp8_is_multiplied_out(
    save: Save, tmp_path: Path, block: tuple[int, int]
) -> None:
    weights, expected = draw(), draw()
    for name in [n for n in weights if ".experts." in n or "q_b_proj" in n]:
        low, scale = quantize(weights[name], block)
        weights |= {name: low, f"{name}_scale_inv": scale}
        wide = scale.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
        expected[name] = low.float() * wide[: low.size(0), : low.size(1)]
    about = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": list(block)}
    folder = save({ONE: weights}, {**CONFIG, "quantization_config": about})
    assert_equal(brought(folder, tmp_path / "store"), expected)


def test_experts_in_one_stack_and_parts_of_no_model_are_told_apart(
    save: Save, tmp_path: Path
) -> None:
    expected = draw()
    weights = dict(expected)
    for layer in (1, 2):
        at = f"model.layers.{layer}.mlp.experts"
        gate, up, down = (
            torch.stack([weights.pop(f"{at}.{e}.{kind}_proj.weight") for e in range(8)])
            for kind in ("gate", "up", "down")
        )
        weights |= {f"{at}.gate_up_proj": torch.cat([gate, up], 1), f"{at}.down_proj": down}
    spare = ["model.layers.3.embed_tokens.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"]
    weights |= {name: torch.ones(2) for name in spare}
    folder = save({ONE: weights}, {**CONFIG, "num_nextn_predict_layers": 1})
    draft = bring(folder, tmp_path / "store")
    assert_equal(load_weights(draft.folder), expected)
    assert json.loads((draft.folder / "training.json").read_text())["left_out"] == sorted(spare)


def test_a_tied_output_is_the_embedding(save: Save, tmp_path: Path) -> None:
    weights = draw()
    del weights["lm_head.weight"]
    tied = {**CONFIG, "tie_word_embeddings": True}
    found = brought(save({ONE: weights}, tied), tmp_path / "store")
    assert torch.equal(found["lm_head.weight"], weights["model.embed_tokens.weight"])
    with pytest.raises(AdoptError, match=r"lm_head\.weight differs from model\.embed_tokens"):
        brought(save({ONE: draw()}, tied), tmp_path / "other")


def test_the_licence_is_the_cards_or_what_is_stated(save: Save, tmp_path: Path) -> None:
    folder = save({ONE: draw()})

    def license_of(place: str, **stated: object) -> str:
        sources = json.loads(
            (bring(folder, tmp_path / place, **stated).folder / "sources.json").read_text()
        )
        (about,) = sources.values()
        return str(about["license"])

    assert license_of("a") == "not stated by its source"
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    assert license_of("b") == "mit"
    assert license_of("c", license="Apache-2.0") == "Apache-2.0"
    for place, head in enumerate(
        (b"\xff\xfe", b"[" * 5000, b"a: 9999-99-99", b"- mit", b"a: [b: ")
    ):
        (folder / "README.md").write_bytes(b"---\n" + head + b"\n---\n")
        assert license_of(f"d{place}") == "not stated by its source"


def test_code_beside_weights_is_not_run(save: Save, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    folder = save({ONE: draw()}, {**CONFIG, "auto_map": {"AutoConfig": "mine.Config"}})
    for name in ("mine.py", "tokenization_mine.py", "setup.py"):
        (folder / name).write_text(f"open({str(ran)!r}, 'w')")
    about = {"auto_map": {"AutoTokenizer": ["mine.T", None]}, "tokenizer_class": "Mine"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    draft = bring(folder, tmp_path / "store")
    assert not ran.exists()
    assert [path.name for path in draft.folder.glob("*.py")] == []
    assert "auto_map" not in (draft.folder / "tokenizer_config.json").read_text()


Spoil = Callable[[Path, Tensors], None]


def _set(name: str, tensor: torch.Tensor | None) -> Spoil:
    def spoil(folder: Path, weights: Tensors) -> None:
        changed = {n: t for n, t in weights.items() if n != name}
        save_file(changed if tensor is None else {**changed, name: tensor}, folder / ONE)

    return spoil


def _index(places: object) -> Spoil:
    def spoil(folder: Path, weights: Tensors) -> None:
        known = dict.fromkeys(weights, ONE)
        index = {"weight_map": known | places} if isinstance(places, dict) else places
        text = index if isinstance(index, str) else json.dumps(index)
        (folder / INDEX).write_text(text)

    return spoil


def _bytes(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(folder: Path, _: Tensors) -> None:
        (folder / ONE).write_bytes(change((folder / ONE).read_bytes()))

    return spoil


def _pickle(folder: Path, _: Tensors) -> None:
    (folder / ONE).rename(folder / "pytorch_model.bin")


def _two(folder: Path, _: Tensors) -> None:
    (folder / "more.safetensors").write_bytes((folder / ONE).read_bytes())


def _config(**fields: object) -> Spoil:
    def spoil(folder: Path, _: Tensors) -> None:
        (folder / "config.json").write_text(json.dumps({**CONFIG, **fields}))

    return spoil


def _without(name: str) -> Spoil:
    return lambda folder, _: (folder / name).unlink()


def _header(text: str) -> Callable[[bytes], bytes]:
    return lambda _: len(text).to_bytes(8, "little") + text.encode() + b"\0" * 16


Q, NORM = "model.layers.0.self_attn.q_b_proj.weight", "model.norm.weight"
FP8 = torch.zeros(48, 24).to(torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_set(NORM, None), r"brought lacks model\.norm\.weight, which its config\.json asks"),
        (_set("model.extra.weight", torch.ones(1)), r"model\.safetensors holds model\.extra\.wei"),
        (_set("model.layers.3.mlp.x", torch.ones(1)), r"holds model\.layers\.3\.mlp\.x, which"),
        (_set(NORM, torch.ones(47)), r"norm\.weight is \[47\], and by config\.json \[48\]"),
        (_set(NORM, torch.full((48,), float("nan"))), r"model\.safetensors: model\.norm.* a NaN"),
        (_set(NORM, torch.tensor([3e38, -float("inf")] * 24)), "holds a NaN or an infinity"),
        (_set(NORM, torch.ones(48, dtype=torch.int8)), r"norm\.weight is of type I8: weights are"),
        (_set(Q, FP8), r"q_b_proj\.weight is of F8_E4M3 and has no .*weight_scale_inv"),
        (_index({NORM: "model-9.safetensors"}), r"norm\.weight into model-9\.safeten.*not there"),
        (_index({NORM: "../../etc/passwd"}), r"into '\.\./\.\./etc/passwd': only \*\.safetensors"),
        (_index({NORM: "/etc/x.safetensors"}), "into '/etc/x.safetensors': only"),
        (_index({NORM: 3}), "into 3: only"),
        (_index({"model.lost": ONE}), r"model\.safetensors lacks model\.lost, which .*puts there"),
        (_index("{"), f"{INDEX} is no JSON"),
        (_index("[]"), "has no weight_map"),
        (_bytes(lambda raw: raw[:-5]), "is to end at byte .*it is cut off"),
        (_bytes(lambda raw: raw[:100]), "its header is said to be"),
        (_bytes(lambda _: b""), "its header is said to be"),
        (_bytes(lambda _: b"PK\x03\x04" * 40), "it is no safetensors"),
        (_bytes(_header("[1]")), "its header is broken"),
        (_bytes(_header('{"a": {"dtype": "F32"}}')), "its header is broken"),
        (_bytes(_header('{"a": {"dtype":"F32","shape":[9],"data_offsets":[0,4]}}')), "broken"),
        (_bytes(_header('{"a": {"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}')), "broken"),
        (_bytes(_header("[" * 90_000)), "its header is broken"),
        (_config(num_hidden_layers=10**30), r"num_hidden_layers 10{30}, and its files hold \d+"),
        (_config(n_routed_experts=4000), r"n_routed_experts 4000, and its files hold"),
        (_config(n_routed_experts=10**30), r"has 10{30} experts: 4096 at most"),
        (_pickle, r"as pickles \(pytorch_model\.bin\), which run code"),
        (_two, f"there are 2 and no {INDEX}"),
        (_without(ONE), r"weights are to be in \*\.safetensors; there are none"),
        (_without("config.json"), "has no config.json"),
        (_without("tokenizer.json"), "has no tokenizer.json and no tiktoken.model"),
    ],
)
def test_what_is_broken_is_named(save: Save, tmp_path: Path, spoil: Spoil, said: str) -> None:
    weights = draw()
    folder = save({ONE: weights})
    spoil(folder, weights)
    with pytest.raises(AdoptError, match=said):
        bring(folder, tmp_path / "store")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"quant_method": "awq", "bits": 4}, "quantised by 'awq'"),
        ({"quant_method": "compressed-tensors"}, "quantised by 'compressed-tensors'"),
        ({"quant_method": "fp8", "weight_block_size": None}, "in blocks None"),
        ({"quant_method": "fp8", "weight_block_size": [0, 128]}, "are no two sizes"),
    ],
)
def test_other_quantisations_are_refused(
    save: Save, tmp_path: Path, about: Config, said: str
) -> None:
    folder = save({ONE: {}}, {**CONFIG, "quantization_config": about})
    with pytest.raises(AdoptError, match=said):
        look(CheckpointSource(str(folder), tmp_path))


def test_scales_of_other_blocks_are_refused(save: Save, tmp_path: Path) -> None:
    scale = {Q: FP8, f"{Q}_scale_inv": torch.ones(2, 1)}
    with pytest.raises(AdoptError, match=r"scale_inv is \[2, 1\] for \[48, 24\].* not \[1, 1\]"):
        look(CheckpointSource(str(save({ONE: draw() | scale})), tmp_path))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/no/such", "/no/such is no folder"),
        ("ftp://x/y", "ftp:// is not known"),
        ("hf://moonlight", "is no model of the Hub"),
        ("hf://a/../../b", "is no model of the Hub"),
    ],
)
def test_an_address_that_is_none_is_named(tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(AdoptError, match=said):
        CheckpointSource(address, tmp_path)


@pytest.mark.parametrize("closed", [ConnectionError("no\nroute"), KeyError("x"), OSError(13, "no")])
def test_a_place_that_is_away_is_named(
    tmp_path: Path, closed: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise closed

    for method in ("list_repo_files", "model_info"):
        monkeypatch.setattr(f"huggingface_hub.HfApi.{method}", refuse)
    monkeypatch.setattr("k2core.store.bucket.Bucket.sizes", refuse)
    said = rf"cannot be read: {type(closed).__name__}: [^\n]*$"
    for address in ("hf://a/b@main", "memory://brought/none"):
        with pytest.raises(AdoptError, match=f"^{address} {said}"):
            CheckpointSource(address, tmp_path)
    with pytest.raises(AdoptError, match=f"^hf://a/b {said}"):
        pin("hf://a/b")


def test_files_that_changed_and_shapes_that_differ_are_refused(save: Save, tmp_path: Path) -> None:
    folder = save({ONE: draw()})
    with pytest.raises(AdoptError, match=r"now is sha256:\w+, and adopt\.digest asks for sha256:0"):
        bring(folder, tmp_path / "store", digest=f"sha256:{'0' * 64}")
    shape = look_at_config(CheckpointSource(str(folder), tmp_path))[1]
    wanted = shape.model_copy(update={"num_heads": 4})
    with pytest.raises(AdoptError, match="not of the recipe's model: num_heads 2, not 4; `k2 run"):
        adopt_checkpoint(
            AdoptConfig(source=str(folder)), wanted, Store(tmp_path / "s").workspace("a")
        )


def test_a_bucket_is_read_like_a_folder(save: Save, tmp_path: Path) -> None:
    from k2core.store.bucket import Bucket

    weights = draw()
    folder = save({ONE: weights})
    (folder / "evil.py").write_text("")
    bucket = Bucket("memory://brought/models/mine")
    for path in folder.iterdir():
        bucket.upload(path, path.name)
    workspace = Store(tmp_path / "store").workspace("adopt")
    address = "memory://brought/models/mine"
    shape = look_at_config(CheckpointSource(address, tmp_path / "far"))[1]
    draft = adopt_checkpoint(AdoptConfig(source=address), shape, workspace)
    assert_equal(load_weights(draft.folder), weights)
    assert not (workspace.scratch / "fetched" / "evil.py").exists()


_LIMITED = """
import resource, sys
from pathlib import Path
import torch
from k2core.adopt import CheckpointSource, adopt_checkpoint, look_at_config
from k2core.store import Store
from schemas.adopt import AdoptConfig

torch.set_num_threads(1)
folder, store = sys.argv[1:]
shape = look_at_config(CheckpointSource(folder, Path(store)))[1]
status = Path("/proc/self/status").read_text()
used = int(status.split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 16 * 2**20,) * 2)
adopt_checkpoint(AdoptConfig(source=folder), shape, Store(store).workspace("adopt"))
"""


def test_a_model_larger_than_the_memory_passes(save: Save, tmp_path: Path) -> None:
    """40 MiB of bf16 in one file and 80 of fp32 out of it, with 16 to spare."""
    config = {**CONFIG, "hidden_size": 256, "moe_intermediate_size": 768, "n_routed_experts": 20}
    sizes = tensor_shapes(shape_of(config, "here"))
    weights = {name: torch.ones(size, dtype=torch.bfloat16) for name, size in sizes.items()}
    assert sum(t.nbytes for t in weights.values()) > 40 * 2**20
    folder = save({ONE: weights}, config)
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(folder), str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (out,) = (tmp_path / "store").glob("work/*/*/model.safetensors")
    found = load_file(out)
    assert torch.equal(found["lm_head.weight"], weights["lm_head.weight"].float())
