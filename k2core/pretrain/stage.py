"""The stage: from a token corpus to a base checkpoint."""

from collections.abc import Sequence

from k2core.model.counts import sum_parameters
from k2core.model.hf import describe_checkpoint
from k2core.parallel.plan import Job, check_placement
from k2core.pretrain.batches import name_spans, read_batch
from k2core.pretrain.phases import Stretch, lay_out
from k2core.store import Draft, Workspace
from k2core.tokens import TokenStream
from k2core.training import Plan, count_saved_steps, train, write_clips
from schemas.artifacts import TokenCorpus
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
        ValueError: corpus, shape and config do not fit together; before any work is spent.
        FloatingPointError: the guards stop it; names the step and its documents.
    """
    from k2core.engines.megatron.ranks import TrainerGroup

    folder, stretches = workspace.open(tokens), lay_out(config, shape)
    streams = [TokenStream(folder, config.seed, s.sequence_length, s.share) for s in stretches]
    _check_fit(shape, stretches, streams)
    for stretch in stretches:
        job = _job(stretch, config)
        check_placement(job, placement, fp8_storage=config.optim.fp8_storage)
    for stretch, stream in zip(stretches, streams, strict=True):
        if stretch is not stretches[-1] and count_saved_steps(workspace) >= stretch.last:
            continue
        plan = _plan(config, stretch, stream, stretches[-1].last)
        # rotary scaling is built into a model: each stretch takes up the state of the one before
        at = placement.for_length(stretch.sequence_length)
        with TrainerGroup(stretch.shape, config.optim, seed=config.seed, placement=at) as trainer:
            history = train(trainer, plan, workspace)
            if stretch is stretches[-1]:
                trainer.export_checkpoint(workspace.out)
    training = {
        "stage": "pretrain",
        "config": config.model_dump(mode="json"),
        "tokens": tokens.digest,
        "history": history.summarize(),
    }
    describe_checkpoint(workspace.out, shape, folder / "tokenizer", training)
    write_clips(history, "pretrain", workspace.out)
    size, last = sum_parameters(shape), history.last_losses(10)
    counts = {
        "parameters": size.total,
        "active_parameters": size.active,
        "steps": history.num_steps,
        "tokens": history.tokens,
        "loss": round(sum(last) / len(last), 4),
        "clipped_heads": len(history.clips),
        "refused_steps": len(history.refused),
    }
    return Draft(workspace.out, counts)


def _plan(config: PretrainConfig, stretch: Stretch, stream: TokenStream, total: int) -> Plan:
    return Plan(
        optim=config.optim,
        num_steps=total,
        lr=lambda step: stretch.rate(step - stretch.first),
        num_heads=stretch.shape.num_layers * stretch.shape.num_heads,
        checkpoint_every=config.checkpoint_every,
        guards=config.guards,
        batch=lambda step: read_batch(stream, stretch.samples(step)),
        documents=lambda step: name_spans(stream, stretch.samples(step)),
        first=stretch.first,
        last=stretch.last,
    )


def _job(stretch: Stretch, config: PretrainConfig) -> Job:
    return Job(
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
        raise ValueError(
            f"the corpus was tokenized for vocab_size={vocab_size}; the model's "
            f"shape says {shape.vocab_size}: make tokenize.vocab_size and model.vocab_size equal"
        )
    needed = sum(s.num_samples * s.sequence_length for s in stretches)
    budget = sum(about.budget_tokens for about in streams[0].manifest.domains.values())
    if len(stretches) > 1 and needed > budget:
        raise ValueError(
            f"pretrain.schedule and its phases need {needed:,} tokens; the corpus's budget holds "
            f"{budget:,}: shorten them, or raise tokenize.train_tokens"
        )
    for stretch, stream in zip(stretches, streams, strict=True):
        if stretch.num_samples > stream.num_samples:
            most = stream.num_samples // stretch.batch_size
            whose = "pretrain.schedule." if stretch.first == 0 else f"phase {stretch.name!r}: "
            raise ValueError(
                f"{whose}num_steps={stretch.num_steps} of batch_size={stretch.batch_size} need "
                f"{stretch.num_samples} samples of {stretch.sequence_length} tokens; its part of "
                f"the corpus's budget holds {stream.num_samples}: set num_steps to at most {most}, "
                "or raise tokenize.train_tokens"
            )
