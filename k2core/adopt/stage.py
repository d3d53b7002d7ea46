"""The stage: a checkpoint made elsewhere becomes one of this pipeline's, tensor by tensor."""

import json
from typing import NamedTuple

from pydantic import JsonValue

from k2core.adopt.errors import AdoptError
from k2core.adopt.license import read_license
from k2core.adopt.places import CONFIG, CheckpointSource, digest_of
from k2core.adopt.tokenizer import Brought, write_tokenizer
from k2core.adopt.weights import SourceWeights
from k2core.model.config import ConfigError, describe_difference, read_config, shape_of
from k2core.model.counts import sum_parameters
from k2core.model.hf import describe_checkpoint
from k2core.model.shards import CheckpointWriter
from k2core.store import Draft, Workspace
from schemas.adopt import AdoptConfig
from schemas.model import ModelShape


class Look(NamedTuple):
    """What a source is, by its config.json and what its files say of themselves."""

    shape: ModelShape
    weights: SourceWeights


def adopt_checkpoint(config: AdoptConfig, shape: ModelShape, workspace: Workspace) -> Draft:
    """Bring a checkpoint with its tokenizer, in fp32 as all of this pipeline's.

    Raises:
        AdoptError: what lies there is no checkpoint of this architecture, or not the one that is
            asked for; names what is wrong. Nothing of it was run.
    """
    source = CheckpointSource(config.source, workspace.scratch / "fetched")
    found = look(source)
    if wrong := describe_difference(found.shape, shape):
        raise AdoptError(
            f"{config.source} is not of the recipe's model: {wrong}; `k2 run --base` takes the "
            "shape from the checkpoint"
        )
    tokenizer = workspace.scratch / "tokenizer"
    brought = write_tokenizer(
        source, tokenizer, shape.vocab_size, add_chat_tokens=config.add_chat_tokens
    )
    files = source.hash(source.names)
    digest = digest_of(files)
    if config.digest and digest != config.digest:
        raise AdoptError(
            f"{config.source} now is {digest}, and adopt.digest asks for {config.digest}: its "
            "files changed; `k2 import` brings them as they are"
        )
    _copy_weights(found.weights, workspace)
    license = read_license(source, config.license)
    name = _public_name(config.source)
    training: dict[str, object] = {
        "stage": "adopt",
        "source": name,
        "digest": digest,
        "files": files,
    }
    training |= _tell(found.weights, brought)
    describe_checkpoint(workspace.out, shape, tokenizer, training)
    about = {"license": license, "package": name, "version": digest, "role": "weights"}
    text = json.dumps({f"model {name}": about}, indent=1, sort_keys=True) + "\n"
    (workspace.out / "sources.json").write_text(text)
    rows = [{"what": name, "found": str(value)} for name, value in training.items()]
    workspace.report.table("Brought", [*rows, {"what": "license", "found": license}])
    size = sum_parameters(shape)
    return Draft(
        workspace.out,
        {
            "parameters": float(size.total),
            "active parameters": float(size.active),
            "tensors": float(len(found.weights.wanted)),
            "files": float(len(files)),
        },
    )


def look(source: CheckpointSource) -> Look:
    """What a source is; reads no weight.

    Raises:
        AdoptError: it is no whole checkpoint of this architecture.
    """
    config, shape = look_at_config(source)
    extra = config.get("num_nextn_predict_layers") or 0
    weights = SourceWeights(
        source,
        shape,
        is_tied=config.get("tie_word_embeddings") is True,
        block=_read_block(config, source),
        num_extra_layers=extra if isinstance(extra, int) else 0,
    )
    return Look(shape, weights)


def look_at_config(source: CheckpointSource) -> tuple[dict[str, JsonValue], ModelShape]:
    """A source's config.json, and the shape that it says.

    Raises:
        AdoptError: it is of another architecture, or quantised in a way that is not read.
    """
    if CONFIG not in source.names:
        raise AdoptError(f"{source.address} has no {CONFIG}: it is no checkpoint")
    try:
        config = read_config(source.fetch(CONFIG).parent)
        shape = shape_of(config, f"{source.address}/{CONFIG}")
    except ConfigError as error:
        raise AdoptError(str(error)) from None
    _read_block(config, source)
    return config, shape


def _public_name(address: str) -> str:
    """An address that others have, or a folder's name: where it lies here is nobody's business."""
    if "://" in address and not address.startswith("file://"):
        return address
    return address.rstrip("/").rsplit("/", 1)[-1]


def _read_block(config: dict[str, JsonValue], source: CheckpointSource) -> tuple[int, int]:
    """Rows and columns that share a scale."""
    found = config.get("quantization_config") or {}
    if not isinstance(found, dict):
        raise AdoptError(f"{source.address}: quantization_config is no object")
    method, block = found.get("quant_method", "fp8"), found.get("weight_block_size", [128, 128])
    if method != "fp8" or not isinstance(block, list) or len(block) != 2:
        raise AdoptError(
            f"{source.address}: its weights are quantised by {method!r} in blocks {block!r}; read "
            "are plain ones and 'fp8' in blocks as DeepSeek-V3's [128, 128]"
        )
    height, width = block
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise AdoptError(f"{source.address}: weight_block_size {block!r} are no two sizes")
    return height, width


def _copy_weights(weights: SourceWeights, workspace: Workspace) -> None:
    writer = CheckpointWriter(workspace.out, weights.wanted)
    writer.create()
    for place, name in enumerate(weights.wanted):
        writer.write(name, weights.read(name))
        if place % 100 == 0:
            workspace.report.progress(place, len(weights.wanted), name)
    writer.finish()
    writer.write_index()


def _tell(weights: SourceWeights, brought: Brought) -> dict[str, object]:
    return {
        "stored_as": weights.kinds,
        "left_out": weights.left_out,
        "added_tokens": brought.added,
        "chat_template": brought.template,
    }


__all__ = ["Look", "adopt_checkpoint", "look", "look_at_config"]
