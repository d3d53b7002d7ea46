"""`k2 import` and `k2 run --base`: a model that was made elsewhere, looked at before any stage."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from infra.index import RunIndex
from k2core.adopt import AdoptError, CheckpointSource, digest_of, look, look_at_config, pin
from schemas.adopt import AdoptConfig
from schemas.artifacts import Checkpoint
from schemas.model import ModelShape
from schemas.recipe import Recipe
from workflows.errors import MendableError, NotRecordedError
from workflows.overrides import change


class Bring(NamedTuple):
    """What the adopt stage is to be given."""

    config: AdoptConfig
    shape: ModelShape


def import_model(address: str, license: str, *, add_chat_tokens: bool) -> tuple[str, Checkpoint]:
    """Bring a checkpoint as an artifact; returns the run's name and it.

    Raises:
        MendableError: it is no whole checkpoint of K2's architecture; says what is wrong.
    """
    from workflows.launch import run_inputs

    found = _look(address)
    stated = {"license": license, "add_chat_tokens": add_chat_tokens}
    config = found.config.model_copy(update=stated)
    with _mendable():
        name, made = run_inputs("import", "adopt", config=config, shape=found.shape)
    return name, Checkpoint.model_validate(made.model_dump())


def based_on(recipe: Recipe, base: str, settings: Sequence[str]) -> Recipe:
    """The recipe that starts from a model: an address, or the digest of one that was brought.

    Its shape is the recipe's from then on; settings go before what is found.

    Raises:
        MendableError: there is no such model, or the recipe does not fit it.
    """
    found = _recall(base) if base.startswith("sha256:") else _look(base)
    return change(recipe, settings, {"model": found.shape, "adopt": found.config})


def _look(address: str) -> Bring:
    """The shape, and what pins the files: of a folder all of them, of what is far config.json."""
    with _mendable(), tempfile.TemporaryDirectory(prefix="k2-import-") as scratch:
        pinned = pin(address)
        source = CheckpointSource(pinned, Path(scratch))
        if "://" in pinned:
            return Bring(AdoptConfig(source=pinned), look_at_config(source)[1])
        shape = look(source).shape
        digest = digest_of(source.hash(source.names))
        return Bring(AdoptConfig(source=pinned, digest=digest), shape)


def _recall(digest: str) -> Bring:
    with RunIndex() as index:
        records = [made.record for made in index.stages()]
    for record in records:
        named = [a for a in record.outputs.values() if a.digest.startswith(digest)]
        if record.stage == "adopt" and named:
            config = AdoptConfig.model_validate(record.configs["config"])
            return Bring(config, ModelShape.model_validate(record.configs["shape"]))
    raise NotRecordedError(
        f"{digest} was not brought by `k2 import`: give its folder or address; from a base that "
        "was trained here, `k2 rerun sft --downstream` goes on"
    )


@contextmanager
def _mendable() -> Iterator[None]:
    try:
        yield
    except AdoptError as error:
        raise MendableError(str(error)) from None
