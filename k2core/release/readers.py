"""Readers elsewhere: other versions of transformers, each in a process of its own, must agree."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    folder: Path,
    rows: "Sequence[Tensor]",
    expected: "Sequence[Tensor]",
    forms: Sequence[Form],
    limit: float,
) -> list[Reading]:
    """Let every reader load a checkpoint and compare.

    Args:
        folder: the checkpoint.
        rows: token ids, of any lengths.
        expected: the trainer's logits of each row [tokens, vocabulary].
        forms: dialogues with the tokens that training gave them.
        limit: largest difference of logits.

    Raises:
        ReaderError: a reader fails or disagrees; names it, and where.
    """
    readers = list_readers()
    found = [
        _compare(name, packages, folder, rows, expected, forms, limit)
        for name, packages in readers.items()
    ]
    if len(readers) == 1:
        found.append(Reading(reader="transformers 4", checked=False))
    return found


def _compare(
    name: str,
    packages: Path | None,
    folder: Path,
    rows: "Sequence[Tensor]",
    expected: "Sequence[Tensor]",
    forms: Sequence[Form],
    limit: float,
) -> Reading:
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory(prefix="k2-reader-") as place:
        asked, answer = Path(place) / "asked.json", Path(place) / "answer.npz"
        sent = [{"messages": form.messages, "tools": form.tools} for form in forms]
        asked.write_text(json.dumps({"rows": [row.tolist() for row in rows], "forms": sent}))
        _run(name, packages, [str(folder), str(asked), str(answer)], folder.name)
        with np.load(answer) as found:
            logits = [torch.from_numpy(found[f"logits_{n}"]) for n in range(len(rows))]
            ids = [found[f"ids_{n}"].tolist() for n in range(len(forms))]
    for form, got in zip(forms, ids, strict=True):
        if got != form.token_ids:
            raise ReaderError(
                f"{folder.name}: {name} tokenizes the dialogue {form.name!r} as {got[:40]}..., "
                f"and training as {form.token_ids[:40]}..."
            )
    pairs = zip(logits, expected, strict=True)
    difference = max(float((a - b).abs().max()) for a, b in pairs)
    if not difference <= limit:
        raise ReaderError(
            f"{folder.name}: {name}'s logits differ from the trainer's by {difference:.2e}, more "
            f"than release.max_logit_difference={limit}"
        )
    return Reading(
        reader=name,
        checked=True,
        max_logit_difference=round_up(difference),
        dialogues_equal=len(forms),
    )


def _run(name: str, packages: Path | None, arguments: Sequence[str], model: str) -> None:
    paths = [str(packages)] if packages else []
    program = Path(__file__).with_name("reader.py")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", str(program), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReaderError(f"{model}: {name} cannot read it:\n{done.stderr[-1500:]}")
