"""What follows the schedule: rates, longer sequences, another rotary scaling, and kills between."""

from typing import Any

import pytest

from k2core.engines.learner import below
from k2core.engines.megatron.trainer import Trainer
from k2core.model.digest import tensors_digest
from k2core.model.hf import load_weights
from k2core.pretrain import pretrain_model
from k2core.pretrain.batches import read_batch
from k2core.pretrain.phases import lay_out
from k2core.pretrain.stage import pretrain_on_ranks
from k2core.reporting import Silent
from k2core.store import Store
from k2core.tokens import Share, TokenStream
from schemas.artifacts import Checkpoint, TokenCorpus
from schemas.model import ModelShape
from schemas.placement import Placement
from schemas.pretrain import Phase, PretrainConfig
from tests.k2core.engines.megatron.closeness import assert_trained_alike

ANNEAL = Phase(name="anneal", num_steps=2, lr=1e-3, final_lr=5e-4, decay="linear")
LONG = Phase(name="long", num_tokens=300, lr=5e-4, final_lr=1e-4, sequence_length=64)
ALONE = Placement(num_ranks=1, micro_batch=4)


class StoppedError(Exception):
    """Stands for a kill."""


class StopAt(Silent):
    """Keeps the steps and rates it is told; stops the run after one."""

    def __init__(self, step: int = 0) -> None:
        self.stop, self.rates = step, dict[int, float]()

    def metrics(self, step: int, values: Any) -> None:
        self.rates[step] = values["lr"]

    def progress(self, done: float, total: float, note: str = "") -> None:
        assert total == 18
        if done == self.stop:
            raise StoppedError


@pytest.fixture
def extended(shape: ModelShape) -> ModelShape:
    return ModelShape.model_validate(
        {**shape.model_dump(), "yarn_factor": 4.0, "original_max_position_embeddings": 32}
    )


@pytest.fixture
def phased(config: PretrainConfig) -> PretrainConfig:
    changes = {"phases": [ANNEAL.model_dump(), LONG.model_dump()], "yarn_factor": 1.0}
    return PretrainConfig.model_validate({**config.model_dump(), **changes})


def test_stretches_follow_each_other(phased: PretrainConfig, extended: ModelShape) -> None:
    stretches = lay_out(phased, extended)
    assert [(s.name, s.first, s.last) for s in stretches] == [
        ("schedule", 0, 12),
        ("anneal", 12, 14),
        ("long", 14, 18),
    ]
    assert [(s.batch_size, s.sequence_length) for s in stretches] == [(4, 16), (4, 16), (1, 64)]
    assert [s.shape.yarn_factor for s in stretches] == [1, 4, 4]
    assert [s.share for s in stretches] == [
        Share(0, 12 / 18),
        Share(12 / 18, 14 / 18),
        Share(14 / 18, 1),
    ]
    assert stretches[2].samples(16) == range(2, 3)


def test_without_phases_a_run_reads_all_text_in_the_models_shape(
    config: PretrainConfig, shape: ModelShape
) -> None:
    (only,) = lay_out(config, shape)
    assert only.share == Share()
    assert only.shape == shape


@pytest.mark.slow
def test_a_long_phase_trains_on_longer_rows_with_its_rotary_scaling(
    store: Store, corpus: TokenCorpus, extended: ModelShape, phased: PretrainConfig
) -> None:
    """Stopped inside the last phase and gone on with; equal to the same steps taken by hand."""
    stopped = StopAt(15)
    with pytest.raises(StoppedError):
        pretrain_on_ranks(phased, extended, corpus, store.workspace("long", stopped), ALONE)
    assert list(stopped.rates) == list(range(1, 16))
    resumed = StopAt()
    draft = pretrain_on_ranks(phased, extended, corpus, store.workspace("long", resumed), ALONE)
    assert list(resumed.rates) == [15, 16, 17, 18]  # from the state at the last phase's start
    assert stopped.rates[13] == pytest.approx(7.5e-4)
    assert resumed.rates[18] == pytest.approx(1e-4)
    assert draft.counts["tokens"] == 12 * 64 + 2 * 64 + 4 * 64
    found = store.publish(Checkpoint, draft)

    folder = store.open(corpus)
    by_hand, lengths = None, []
    for stretch in lay_out(phased, extended):
        trainer = Trainer(stretch.shape, phased.optim, seed=0, placement=ALONE)
        if by_hand:
            trainer.load(by_hand.joinpath)
        stream = TokenStream(folder, 0, stretch.sequence_length, stretch.share)
        for step in range(stretch.first, stretch.last):
            batch = read_batch(stream, stretch.samples(step))
            trainer.step(batch, stretch.rate(step - stretch.first))
            lengths.append(batch.tokens.shape)
        by_hand = store.disk / f"by-hand-{stretch.last}"
        trainer.save(below(by_hand))
    assert lengths == [(4, 16)] * 14 + [(1, 64)] * 4
    expected = tensors_digest(trainer.export_weights())
    assert tensors_digest(load_weights(store.open(found))) == expected


@pytest.mark.slow
def test_more_ranks_share_the_rows_of_a_long_phase(
    store: Store, corpus: TokenCorpus, extended: ModelShape, phased: PretrainConfig
) -> None:
    """Two replicas, then one of two context-parallel ranks; equal to one process."""
    phased = phased.model_copy(update={"phases": (LONG,)})
    shared = Placement(num_ranks=2, micro_batch=4, tokens_a_rank=32)
    stretches = lay_out(phased, extended)
    assert [shared.for_length(s.sequence_length).cp for s in stretches] == [1, 2]
    draft = pretrain_model(phased, extended, corpus, store.workspace("shared"), shared)
    found = load_weights(store.open(store.publish(Checkpoint, draft)))

    state = store.disk / "by-hand"
    for stretch in stretches:
        trainer = Trainer(stretch.shape, phased.optim, seed=0, placement=ALONE)
        if state.exists():
            trainer.load(state.joinpath)
        stream = TokenStream(store.open(corpus), 0, stretch.sequence_length, stretch.share)
        for step in range(stretch.first, stretch.last):
            batch = read_batch(stream, stretch.samples(step))
            trainer.step(batch, stretch.rate(step - stretch.first))
        trainer.save(below(state))
    assert_trained_alike(found, trainer.export_weights(), phased.optim.lr, atol=1e-5)


def test_rotary_scaling_changes_what_a_model_says(
    store: Store, corpus: TokenCorpus, extended: ModelShape, phased: PretrainConfig
) -> None:
    stretches = lay_out(phased, extended.model_copy(update={"init_std": 0.2}))
    batch = read_batch(TokenStream(store.open(corpus), 0, 64), range(1))
    plain, scaled = (
        Trainer(stretches[i].shape, phased.optim, seed=0).logprobs(batch) for i in (0, 2)
    )
    assert (plain - scaled).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_steps": 3}, "either num_steps or num_tokens"),
        ({"sequence_length": 24}, "no whole number of sequences of 24"),
        ({"num_tokens": 63}, "num_tokens=63 is less than one step of 1 x 64"),
    ],
)
def test_a_phase_that_cannot_be_is_refused(
    config: PretrainConfig, change: dict[str, object], message: str
) -> None:
    phase = {**LONG.model_dump(), **change}
    with pytest.raises(ValueError, match=message):
        PretrainConfig.model_validate({**config.model_dump(), "phases": [phase]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence_length": 2048, "num_steps": 1, "batch_size": 1}, "phase 'long': sequence_len"),
        (
            {"num_steps": 400},
            r"its phases need 26,368 tokens; the corpus's budget holds \d,",
        ),
    ],
)
def test_a_phase_that_does_not_fit_is_refused_before_work(
    store: Store,
    corpus: TokenCorpus,
    extended: ModelShape,
    config: PretrainConfig,
    change: dict[str, object],
    message: str,
) -> None:
    phase = {**LONG.model_dump(), "num_tokens": None, **change}
    given = PretrainConfig.model_validate({**config.model_dump(), "phases": [phase]})
    with pytest.raises(ValueError, match=message):
        pretrain_model(given, extended, corpus, store.workspace("unfit"), ALONE)
