"""The stage: from a token corpus to a base checkpoint."""

from k2core.model.counts import sum_parameters
from k2core.model.hf import describe_checkpoint
from k2core.parallel.plan import Job, check_placement
from k2core.pretrain.batches import name_spans, read_batch
from k2core.store import Draft, Workspace
from k2core.tokens import TokenStream
from k2core.training import Plan, train, write_clips
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

    folder = workspace.open(tokens)
    stream = TokenStream(folder, config.seed, config.sequence_length)
    _check_fit(config, shape, stream)
    check_placement(_job(config, shape, placement), placement)

    def samples_of(step: int) -> range:
        return range(step * config.batch_size, (step + 1) * config.batch_size)

    plan = Plan(
        optim=config.optim,
        schedule=config.schedule,
        num_heads=shape.num_layers * shape.num_heads,
        checkpoint_every=config.checkpoint_every,
        guards=config.guards,
        batch=lambda step: read_batch(stream, samples_of(step)),
        documents=lambda step: name_spans(stream, samples_of(step)),
    )
    with TrainerGroup(shape, config.optim, seed=config.seed, placement=placement) as trainer:
        history = train(trainer, plan, workspace)
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


def _job(config: PretrainConfig, shape: ModelShape, placement: Placement) -> Job:
    return Job(
        shape,
        config.batch_size,
        config.sequence_length,
        config.schedule.num_steps,
        "fp32" if placement.gpu == "cpu" else "bf16",
    )


def _check_fit(config: PretrainConfig, shape: ModelShape, stream: TokenStream) -> None:
    if stream.manifest.vocab_size != shape.vocab_size:
        raise ValueError(
            f"the corpus was tokenized for vocab_size={stream.manifest.vocab_size}; the model's "
            f"shape says {shape.vocab_size}: make tokenize.vocab_size and model.vocab_size equal"
        )
    if config.sequence_length > shape.max_position_embeddings:
        raise ValueError(
            f"pretrain.sequence_length={config.sequence_length} exceeds "
            f"model.max_position_embeddings={shape.max_position_embeddings}"
        )
    needed = config.schedule.num_steps * config.batch_size
    if needed > stream.num_samples:
        most = stream.num_samples // config.batch_size
        raise ValueError(
            f"pretrain.schedule.num_steps={config.schedule.num_steps} of batch_size="
            f"{config.batch_size} need {needed} samples of {config.sequence_length} tokens; the "
            f"corpus's budget holds {stream.num_samples}: set num_steps to at most {most}, or "
            "raise tokenize.train_tokens"
        )
