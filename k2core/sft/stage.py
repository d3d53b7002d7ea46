"""The stage: from a base checkpoint and trajectories to a tuned checkpoint."""

from pathlib import Path

from k2core.chat import ChatCodec
from k2core.chat.hub import state_max_length, write_chat_files
from k2core.model.config import load_shape
from k2core.model.hf import describe_checkpoint
from k2core.optim.schedule import learning_rate
from k2core.parallel.rows import own_part
from k2core.sft.dialogues import Dialogues, encode_dialogues
from k2core.sft.packing import Epochs, PackedRow, build_batch
from k2core.store import Draft, Workspace
from k2core.training import BatchDocument, Course, train, write_clips
from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.placement import Placement
from schemas.sft import SftConfig


def finetune(
    config: SftConfig,
    base: Checkpoint,
    trajectories: TrajectorySet,
    workspace: Workspace,
    placement: Placement,
) -> Draft:
    """Finetune on accepted trajectories, with loss on the assistant's tokens only.

    Raises:
        ValueError: a broken or empty trajectory set, or dialogues too long; before any step.
        FloatingPointError: the guards stop it; names the step and its dialogues.
    """
    from k2core.engines.torchrun import run_ranks

    start, folder = workspace.open(base), workspace.open(trajectories)
    prefix = _encode(config, folder, ChatCodec(start), workspace)
    Dialogues(prefix, config.sequence_length, config.max_skipped_frac)  # refuses what is too long
    inputs = (config, base, trajectories, workspace, placement)
    return run_ranks(finetune_on_ranks, *inputs, placement=placement, report=workspace.report)


def finetune_on_ranks(
    config: SftConfig,
    base: Checkpoint,
    trajectories: TrajectorySet,
    workspace: Workspace,
    placement: Placement,
) -> Draft:
    """`finetune` on one of its ranks, all of which run this."""
    from k2core.engines.megatron.trainer import Trainer

    start = workspace.open(base)
    codec, shape = ChatCodec(start), load_shape(start)
    folder = workspace.open(trajectories)
    prefix = _encode(config, folder, codec, workspace)
    dialogues = Dialogues(prefix, config.sequence_length, config.max_skipped_frac)
    epochs = Epochs(dialogues.lengths, config.sequence_length, config.seed)
    at = placement.for_length(config.sequence_length)
    trained = shape.with_router_bias(moving=config.balance_experts)
    trainer = Trainer(trained, config.optim, seed=config.seed, checkpoint=start, placement=at)
    part = trainer.seat.data, at.dp

    def list_documents(step: int) -> list[BatchDocument]:
        rows = _rows(epochs, step, config)
        return [
            BatchDocument(n, dialogues.name(i)) for n, row in enumerate(rows) for i in row.dialogues
        ]

    course = Course(
        optim=config.optim,
        num_steps=config.schedule.num_steps,
        lr=lambda step: learning_rate(step, config.optim.lr, config.schedule),
        num_heads=shape.num_layers * shape.num_heads,
        checkpoint_every=config.checkpoint_every,
        states_kept=placement.states_kept,
        guards=config.guards,
        batch=lambda step: build_batch(
            own_part(_rows(epochs, step, config), *part),
            dialogues,
            config.sequence_length,
            codec.pad_id,
        ),
        documents=list_documents,
    )
    log = train(trainer, course, workspace, trainer.ranks)
    trainer.export_checkpoint(workspace.out)
    if trainer.ranks.rank == 0:
        training: dict[str, object] = {"stage": "sft", "config": config.model_dump(mode="json")}
        training |= {"base": base.digest, "trajectories": trajectories.digest}
        training["history"] = log.summarize()
        describe_checkpoint(workspace.out, shape, start, training)
        # A base that was brought may have a template of its own; this is what was trained.
        write_chat_files(workspace.out)
        state_max_length(workspace.out, shape.max_position_embeddings)
        write_clips(log, "sft", workspace.out)
    counts = {
        "dialogues": len(dialogues),
        "skipped_dialogues": dialogues.num_skipped,
        "epochs": 1 + epochs.epoch_of(config.schedule.num_steps * config.batch_size - 1),
    }
    return Draft(workspace.out, counts | log.counts())


def _encode(config: SftConfig, folder: Path, codec: ChatCodec, workspace: Workspace) -> Path:
    at = workspace.scratch / "dialogues"
    return encode_dialogues(folder, codec, at, config.critic, config.seed)


def _rows(epochs: Epochs, step: int, config: SftConfig) -> list[PackedRow]:
    first = step * config.batch_size
    return [epochs.row(number) for number in range(first, first + config.batch_size)]
