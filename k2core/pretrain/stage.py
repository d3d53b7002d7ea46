"""The stage: from a token corpus to a base checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from k2core.model.counts import sum_parameters
from k2core.model.hf import describe_checkpoint
from k2core.parallel.plan import TrainingJob, check_placement
from k2core.parallel.rows import own_part
from k2core.pretrain.batches import name_spans, read_batch
from k2core.pretrain.phases import Stretch, lay_out
from k2core.store import Draft, Workspace
from k2core.tokens import TokenStream
from k2core.training import Course, StepLog, newest_state, steps_of, train, write_clips
from schemas.artifacts import TokenCorpus
from schemas.errors import InputsError
from schemas.model import ModelShape
from schemas.placement import Placement
from schemas.pretrain import PretrainConfig


def pretrain_model(
    config: PretrainConfig,
    shape: ModelShape,
    tokens: TokenCorpus,
    workspace: Workspace,
    placement: Placement,
) -> Draft:
    """Train a base model from random weights.

    Raises:
        LayoutError: the placement cannot hold the model, or sizes do not divide; says why.
        InputsError: corpus, shape and config do not fit together; before any work is spent.
        FloatingPointError: the guards stop it; names the step and its documents.
    """
    from k2core.engines.torchrun import run_ranks

    folder, stretches = workspace.open(tokens), lay_out(config, shape)
    _check_fit(shape, stretches, _open_streams(folder, config, stretches))
    for stretch in stretches:
        job = _job(stretch, config)
        check_placement(job, placement, fp8_storage=config.optim.fp8_storage)
    inputs = (config, shape, tokens, workspace, placement)
    return run_ranks(pretrain_on_ranks, *inputs, placement=placement, report=workspace.report)


def pretrain_on_ranks(
    config: PretrainConfig,
    shape: ModelShape,
    tokens: TokenCorpus,
    workspace: Workspace,
    placement: Placement,
) -> Draft:
    """`pretrain_model` on one of its ranks, all of which run this."""
    from k2core.engines.torchrun import join_group

    ranks = join_group(placement)
    folder, stretches = workspace.open(tokens), lay_out(config, shape)
    streams = _open_streams(folder, config, stretches)
    saved = ranks.share(steps_of(newest_state(workspace.states)))
    for stretch, stream in zip(stretches, streams, strict=True):
        if saved < stretch.last or stretch is stretches[-1]:
            log = _train_stretch(stretch, stream, stretches[-1].last, config, workspace, placement)
    size = sum_parameters(shape)
    sizes = {"parameters": size.total, "active_parameters": size.active}
    draft = Draft(workspace.out, sizes | log.counts())
    if ranks.rank == 0:
        training = {
            "stage": "pretrain",
            "config": config.model_dump(mode="json"),
            "tokens": tokens.digest,
            "history": log.summarize(),
        }
        describe_checkpoint(workspace.out, shape, folder / "tokenizer", training)
        write_clips(log, "pretrain", workspace.out)
    return draft


def _train_stretch(
    stretch: Stretch,
    stream: TokenStream,
    total: int,
    config: PretrainConfig,
    workspace: Workspace,
    placement: Placement,
) -> StepLog:
    """Train through a stretch and, after the last one, write the checkpoint.

    Rotary scaling is built into a model: each stretch takes up the state of the one before.
    """
    from k2core.engines.megatron.trainer import Trainer

    at = placement.for_length(stretch.sequence_length)
    trainer = Trainer(stretch.shape, config.optim, seed=config.seed, placement=at)
    part = trainer.seat.data, at.dp
    course = Course(
        optim=config.optim,
        num_steps=total,
        lr=lambda step: stretch.rate(step - stretch.first),
        num_heads=stretch.shape.num_layers * stretch.shape.num_heads,
        checkpoint_every=config.checkpoint_every,
        states_kept=placement.states_kept,
        guards=config.guards,
        batch=lambda step: read_batch(stream, own_part(stretch.samples(step), *part)),
        documents=lambda step: name_spans(stream, stretch.samples(step)),
        first=stretch.first,
        last=stretch.last,
    )
    log = train(trainer, course, workspace, trainer.ranks)
    if stretch.last == total:
        trainer.export_checkpoint(workspace.out)
    return log


def _open_streams(
    folder: Path, config: PretrainConfig, stretches: Sequence[Stretch]
) -> list[TokenStream]:
    return [TokenStream(folder, config.seed, s.sequence_length, s.share) for s in stretches]


def _job(stretch: Stretch, config: PretrainConfig) -> TrainingJob:
    return TrainingJob(
        stretch.shape,
        stretch.batch_size,
        stretch.sequence_length,
        stretch.num_steps,
        config.optim.precision,
        config.optim,
    )


def _check_fit(
    shape: ModelShape,
    stretches: Sequence[Stretch],
    streams: Sequence[TokenStream],
) -> None:
    vocab_size = streams[0].manifest.vocab_size
    if vocab_size != shape.vocab_size:
        raise InputsError(
            f"the corpus was tokenized for vocab_size={vocab_size}; the model's "
            f"shape says {shape.vocab_size}: make tokenize.vocab_size and model.vocab_size equal"
        )
    needed = sum(s.num_samples * s.sequence_length for s in stretches)
    budget = sum(about.budget_tokens for about in streams[0].manifest.domains.values())
    if len(stretches) > 1 and needed > budget:
        raise InputsError(
            f"pretrain.schedule and its phases need {needed:,} tokens; the corpus's budget holds "
            f"{budget:,}: shorten them, or raise tokenize.train_tokens"
        )
    for stretch, stream in zip(stretches, streams, strict=True):
        if stretch.num_samples > stream.num_samples:
            most = stream.num_samples // stretch.batch_size
            whose = "pretrain.schedule." if stretch.first == 0 else f"phase {stretch.name!r}: "
            raise InputsError(
                f"{whose}num_steps={stretch.num_steps} of batch_size={stretch.batch_size} need "
                f"{stretch.num_samples} samples of {stretch.sequence_length} tokens; its part of "
                f"the corpus's budget holds {stream.num_samples}: set num_steps to at most {most}, "
                "or raise tokenize.train_tokens"
            )
