"""The stage: from a base checkpoint and trajectories to a tuned checkpoint."""

from typing import TYPE_CHECKING

from k2core.chat import ChatCodec, read_dialogues
from k2core.model.hf import describe_checkpoint, load_shape
from k2core.sft.packing import Epochs, build_batch, drop_long
from k2core.store import Draft, Workspace
from k2core.training import History, Plan, train, write_clips
from schemas.artifacts import Checkpoint, TrajectorySet
from schemas.placement import Placement
from schemas.sft import SftConfig

if TYPE_CHECKING:
    from k2core.engines.megatron.batch import Batch


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
        FloatingPointError: the loss is not finite; names the step and its rows.
    """
    from k2core.engines.megatron.ranks import TrainerGroup

    start = workspace.open(base)
    codec, shape = ChatCodec(start), load_shape(start)
    found = read_dialogues(workspace.open(trajectories), codec)
    dialogues = drop_long(found, config.sequence_length, config.max_skipped_frac)
    epochs = Epochs([len(d.ids) - 1 for d in dialogues], config.sequence_length, config.seed)

    def batch_of(step: int) -> "Batch":
        first = step * config.batch_size
        rows = [epochs.row(number) for number in range(first, first + config.batch_size)]
        return build_batch(rows, dialogues, config.sequence_length, codec.pad_id)

    plan = Plan(
        optim=config.optim,
        schedule=config.schedule,
        num_heads=shape.num_layers * shape.num_heads,
        checkpoint_every=config.checkpoint_every,
        batch=batch_of,
        name_samples=lambda step: (
            f"rows {step * config.batch_size} and the following "
            f"{config.batch_size - 1} of the packed dialogues"
        ),
    )
    with TrainerGroup(
        shape, config.optim, seed=config.seed, checkpoint=start, placement=placement
    ) as trainer:
        history = train(trainer, plan, workspace)
        trainer.export_checkpoint(workspace.out)
    training = {
        "stage": "sft",
        "config": config.model_dump(mode="json"),
        "base": base.digest,
        "trajectories": trajectories.digest,
        "history": history.summarize(),
    }
    describe_checkpoint(workspace.out, shape, start, training)
    write_clips(history, "sft", workspace.out)
    counts = {
        "dialogues": len(dialogues),
        "skipped_dialogues": len(found) - len(dialogues),
        "epochs": epochs.num_epochs,
    }
    return Draft(workspace.out, counts | _count(history))


def _count(history: History) -> dict[str, float]:
    last = history.losses[-10:]
    return {
        "steps": history.num_steps,
        "tokens": history.tokens,
        "loss": round(sum(last) / len(last), 4),
        "clipped_heads": len(history.clips),
    }
