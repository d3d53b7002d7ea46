import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
import torch

from k2core.engines.megatron.group_norms import GROUPS
from k2core.engines.megatron.trainer import Trainer
from k2core.pretrain import pretrain_model
from k2core.pretrain.batches import read_batch
from k2core.pretrain.stage import pretrain_on_ranks
from k2core.reporting import Turn
from k2core.store import Store
from k2core.tokens import TokenStream
from schemas.artifacts import Checkpoint, TokenCorpus
from schemas.model import ModelShape
from schemas.optim import OptimConfig, Schedule
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.points: list[dict[str, float]] = []
        self.titles: list[str] = []

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.notes.append(note)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append({"step": step, **values})

    def plot(self, title: str, figure: "Figure") -> None:
        self.titles.append(title)

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        self.titles.append(title)

    def dialogue(self, title: str, turns: Sequence[Turn]) -> None:
        self.titles.append(title)


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(
    store: Store,
    corpus: TokenCorpus,
    shape: ModelShape,
    config: PretrainConfig,
    placement: Placement,
    tmp_path: Path,
) -> None:
    notes = Notes()
    draft = pretrain_model(config, shape, corpus, store.workspace("whole", notes), placement)
    whole = store.publish(Checkpoint, draft)
    assert len(notes.points) == 12
    assert notes.points[-1]["loss"] < 0.95 * notes.points[0]["loss"]
    names = {"lr", "grad_norm", "max_logit/layer_1", "tokens_per_second", "refused"}
    names |= {f"{kind}/{group}" for kind in ("grad_norm", "update_rms") for group in GROUPS}
    assert names <= notes.points[0].keys()
    assert notes.notes[-1].startswith("step 12/12 loss ")
    assert notes.titles == [
        "Loss",
        "Largest attention logits",
        "Heads that QK-Clip rescaled",
        "First QK-Clip events",
    ]

    states = store.states("killed")
    arguments = [a.model_dump_json() for a in (config, shape, corpus, placement)]
    driver = subprocess.Popen(
        [sys.executable, __file__, str(store.root), *arguments],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    while not states.sealed() and driver.poll() is None:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    saved = states.sealed()
    assert saved
    assert saved[0] < "step-00000012"
    assert not list((store.disk / "work" / "killed" / "out").iterdir())

    notes = Notes()
    resumed = pretrain_model(config, shape, corpus, store.workspace("killed", notes), placement)
    assert store.publish(Checkpoint, resumed).digest == whole.digest
    assert 1 < notes.points[0]["step"] <= 10  # it did not start again

    training = json.loads((store.open(whole) / "training.json").read_text())
    assert training["tokens"] == corpus.digest
    assert training["history"]["steps"] == 12
    assert len(training["history"]["losses"]) == 12
    assert whole.counts["tokens"] == 12 * 4 * 16
    assert whole.counts["clipped_heads"] > 0
    clips = pl.read_parquet(store.open(whole) / "qk_clips-pretrain.parquet")
    assert len(clips) == whole.counts["clipped_heads"]
    assert clips.columns == ["step", "layer", "head", "max_logit", "factor"]
    tau = config.optim.qk_clip_tau
    assert (clips["max_logit"] * clips["factor"]).to_list() == pytest.approx([tau] * len(clips))


def test_a_blown_up_loss_names_step_and_documents(
    store: Store, corpus: TokenCorpus, shape: ModelShape, config: PretrainConfig
) -> None:
    wild = config.model_copy(
        update={"optim": OptimConfig(lr=1e30), "schedule": Schedule(num_steps=4, warmup_frac=0.0)}
    )
    said = r"step 2 of 4: loss .*Its batch: math/doc\d+, .*No state was saved.*Lower optim"
    with pytest.raises(FloatingPointError, match=said):
        pretrain_on_ranks(wild, shape, corpus, store.workspace("wild"), Placement(num_ranks=1))


@pytest.mark.parametrize(
    ("change", "model_change", "message"),
    [
        ({"schedule": Schedule(num_steps=10_000)}, {}, r"num_steps to at most \d+, or raise"),
        ({}, {"max_position_embeddings": 8}, "sequence_length=16 exceeds model"),
        ({}, {"vocab_size": 512}, "vocab_size=300; the model's shape says 512"),
    ],
)
def test_what_does_not_fit_is_refused_before_work(
    store: Store,
    corpus: TokenCorpus,
    shape: ModelShape,
    config: PretrainConfig,
    change: dict[str, object],
    model_change: dict[str, object],
    message: str,
) -> None:
    config, shape = config.model_copy(update=change), shape.model_copy(update=model_change)
    with pytest.raises(ValueError, match=message):
        pretrain_model(config, shape, corpus, store.workspace("unfit"), Placement(num_ranks=1))


def test_labels_follow_inputs_and_stop_at_seams(store: Store, corpus: TokenCorpus) -> None:
    batch = read_batch(TokenStream(store.open(corpus), 0, 16), range(8))
    inside = batch.loss_mask.bool()
    assert not inside.all()
    step = (batch.labels - batch.tokens)[inside] % 300
    assert set(step.tolist()) <= {1, 2, 3}
    assert (batch.segments[:, 1:] != batch.segments[:, :-1]).sum() > 0


def test_a_packed_document_is_read_as_if_alone(
    store: Store, corpus: TokenCorpus, shape: ModelShape
) -> None:
    """Attention stays within a document, and where it stands in the row makes no difference."""
    batch = read_batch(TokenStream(store.open(corpus), 0, 96), range(2))
    trainer = Trainer(shape.model_copy(update={"init_std": 0.2}), OptimConfig(), seed=0)
    packed = trainer.logprobs(batch)
    seams = batch.loss_mask == 0
    for row in range(2):
        assert batch.segments[row].max() >= 2
        for segment in batch.segments[row].unique():
            inside = batch.segments[row] == segment
            (columns,) = torch.nonzero(inside, as_tuple=True)
            alone = batch.select_rows(row, row + 1).map(
                partial(torch.index_select, dim=1, index=columns)
            )
            found = trainer.logprobs(alone)[0]
            assert torch.allclose(found, packed[row, inside], atol=1e-4)
    one = batch._replace(segments=torch.zeros_like(batch.segments))
    assert not torch.allclose(trainer.logprobs(one)[~seams], packed[~seams], atol=1e-2)


if __name__ == "__main__":
    root, *texts = sys.argv[1:]
    settings, model, tokens, place = texts
    pretrain_model(
        PretrainConfig.model_validate_json(settings),
        ModelShape.model_validate_json(model),
        TokenCorpus.model_validate_json(tokens),
        Store(root).workspace("killed"),
        Placement.model_validate_json(place),
    )
