"""Readers elsewhere: other versions of transformers, each in a process of its own, must agree."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from k2core.release.dialogues import Form
from k2core.release.parity import round_up
from schemas.base import Config

if TYPE_CHECKING:
    from torch import Tensor

READERS = Path(sys.prefix) / "readers"
"""Where `infra/setup.sh` puts packages that differ from those in use, a folder a reader."""


class ReaderError(ValueError):
    """A reader that does not load a released folder, or computes something else."""


class Reading(Config):
    """What one reader made of a checkpoint."""

    reader: str
    """Package and version."""
    checked: bool
    """False: it is not installed here, so nothing is known."""
    max_logit_difference: float | None = None
    """Largest |its logits - the trainer's|, fp32."""
    dialogues_equal: int = 0
    """Dialogues whose prompt it tokenizes as training did."""


class Expected(NamedTuple):
    """A checkpoint, and what training says of it."""

    folder: Path
    rows: "Sequence[Tensor]"
    """Token ids, of any lengths."""
    logits: "Sequence[Tensor]"
    """The trainer's of each row [tokens, vocabulary]."""
    forms: Sequence[Form]
    """Dialogues with the tokens that training gave them."""


class RawReading(NamedTuple):
    """What a reader made of a checkpoint, or why it could not."""

    logits: "list[Tensor]"
    ids: list[list[int]]
    fault: str


def list_readers(root: Path = READERS) -> dict[str, Path | None]:
    """Reader -> folder that goes before its packages; None is the environment in use."""
    own = f"transformers {importlib.metadata.version('transformers')}"
    others = {
        f"transformers {found.version}": folder
        for folder in sorted(root.glob("*"))
        for found in importlib.metadata.distributions(name="transformers", path=[str(folder)])
    }
    return {own: None, **others}


def read_elsewhere(
    checkpoints: Sequence[Expected], limit: float, begin: Callable[[str], None]
) -> list[list[Reading]]:
    """Let every reader load the checkpoints and compare: each checkpoint's readings.

    Args:
        checkpoints: what is read, and what must come out.
        limit: of the logits' differences.
        begin: told which reader begins.

    Raises:
        ReaderError: a reader fails or disagrees by more than `limit`; names it, and where.
    """
    readers = list_readers()
    found: list[list[Reading]] = [[] for _ in checkpoints]
    for name, packages in readers.items():
        begin(f"reading by {name}")
        for place, answer in enumerate(ask_reader(name, packages, checkpoints)):
            found[place].append(compare(name, checkpoints[place], answer, limit))
    if len(readers) == 1:
        for readings in found:
            readings.append(Reading(reader="transformers 4", checked=False))
    return found


def ask_reader(
    name: str, packages: Path | None, checkpoints: Sequence[Expected]
) -> list[RawReading]:
    """What one reader says of each checkpoint, in a process of its own.

    Raises:
        ReaderError: it does not run at all.
    """
    with tempfile.TemporaryDirectory(prefix="k2-reader-") as name_of_place:
        places = [Path(name_of_place) / str(number) for number in range(len(checkpoints))]
        for place, checkpoint in zip(places, checkpoints, strict=True):
            forms = [{"messages": form.messages, "tools": form.tools} for form in checkpoint.forms]
            asked = {
                "folder": str(checkpoint.folder),
                "rows": [row.tolist() for row in checkpoint.rows],
                "forms": forms,
            }
            place.mkdir()
            (place / "ASKED.json").write_text(json.dumps(asked))
        _run(name, packages, places)
        return [_read_answer(*pair) for pair in zip(places, checkpoints, strict=True)]


def compare(name: str, checkpoint: Expected, answer: RawReading, limit: float) -> Reading:
    """Hold what a reader made of a checkpoint against the trainer and against training's tokens.

    Raises:
        ReaderError: it failed or disagrees.
    """
    model = checkpoint.folder.name
    if answer.fault:
        raise ReaderError(f"{model}: {name} cannot read it:\n{answer.fault[-1500:]}")
    for form, got in zip(checkpoint.forms, answer.ids, strict=True):
        if got != form.token_ids:
            raise ReaderError(
                f"{model}: {name} tokenizes the dialogue {form.name!r} as {got[:40]}..., "
                f"and training as {form.token_ids[:40]}..."
            )
    pairs = zip(answer.logits, checkpoint.logits, strict=True)
    difference = max(float((a - b).abs().max()) for a, b in pairs)
    if not difference <= limit:
        raise ReaderError(
            f"{model}: {name}'s logits differ from the trainer's by {difference:.2e}, more "
            f"than release.max_logit_difference={limit}"
        )
    return Reading(
        reader=name,
        checked=True,
        max_logit_difference=round_up(difference),
        dialogues_equal=len(checkpoint.forms),
    )


def _read_answer(place: Path, checkpoint: Expected) -> RawReading:
    import numpy as np
    import torch

    fault = place / "FAULT.txt"
    if fault.exists():
        return RawReading([], [], fault.read_text())
    with np.load(place / "ANSWER.npz") as found:
        logits = [torch.from_numpy(found[f"logits_{n}"]) for n in range(len(checkpoint.rows))]
        ids = [found[f"ids_{n}"].tolist() for n in range(len(checkpoint.forms))]
    return RawReading(logits, ids, "")


def _run(name: str, packages: Path | None, places: Sequence[Path]) -> None:
    paths = [str(packages)] if packages else []
    program = Path(__file__).with_name("reader.py")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", str(program), *map(str, places)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReaderError(f"{name} cannot run:\n{done.stderr[-1500:]}")
