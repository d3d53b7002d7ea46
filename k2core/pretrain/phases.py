"""The course of a pre-training: the schedule, then its phases, as stretches of steps."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from k2core.optim.schedule import learning_rate, phase_rate
from k2core.tokens import Share
from schemas.model import ModelShape
from schemas.pretrain import PretrainConfig


class Stretch(NamedTuple):
    """Steps under one sequence length, batch size and rotary scaling."""

    name: str
    first: int
    """Its first step, counted from 0 over all stretches."""
    last: int
    """One past its last step."""
    sequence_length: int
    batch_size: int
    shape: ModelShape
    """The model's, with this stretch's rotary scaling: no weight depends on that."""
    share: Share
    """The part of every domain's text that it reads."""
    rate: Callable[[int], float]
    """Learning rate of a step, counted from the stretch's first."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps."""
        return self.last - self.first

    @property
    def num_samples(self) -> int:
        """Sequences."""
        return self.num_steps * self.batch_size

    def samples(self, step: int) -> range:
        """Of its stream, in a step counted over all stretches."""
        place = step - self.first
        return range(place * self.batch_size, (place + 1) * self.batch_size)


class _Part(NamedTuple):
    name: str
    num_steps: int
    sequence_length: int
    batch_size: int
    yarn_factor: float | None
    rate: Callable[[int], float]


def _list_parts(config: PretrainConfig) -> Iterator[_Part]:
    schedule = config.schedule

    def rate(step: int) -> float:
        return learning_rate(step, config.optim.lr, schedule)

    length, rows = config.sequence_length, config.batch_size
    yield _Part("schedule", schedule.num_steps, length, rows, config.yarn_factor, rate)
    for phase in config.phases:
        steps = config.steps_of(phase)
        length, rows = config.length_of(phase), config.batch_of(phase)
        rate_of = partial(phase_rate, num_steps=steps, phase=phase)
        yield _Part(phase.name, steps, length, rows, phase.yarn_factor, rate_of)


def lay_out(config: PretrainConfig, shape: ModelShape) -> list[Stretch]:
    """All stretches in turn; each reads a share of the text in proportion to its tokens.

    Raises:
        ValueError: a stretch's sequences do not fit its context; names it.
    """
    parts = list(_list_parts(config))
    tokens = [part.num_steps * part.batch_size * part.sequence_length for part in parts]
    found, first, read = [], 0, 0
    for part, count in zip(parts, tokens, strict=True):
        own = shape
        if part.yarn_factor is not None:
            own = ModelShape.model_validate({**shape.model_dump(), "yarn_factor": part.yarn_factor})
        _check_context(part, own)
        share = Share(read / sum(tokens), (read + count) / sum(tokens))
        found.append(
            Stretch(
                part.name,
                first,
                first + part.num_steps,
                part.sequence_length,
                part.batch_size,
                own,
                share,
                part.rate,
            )
        )
        first, read = first + part.num_steps, read + count
    return found


def _check_context(part: _Part, shape: ModelShape) -> None:
    length, longest = part.sequence_length, shape.max_position_embeddings
    where = "pretrain" if part.name == "schedule" else f"pretrain's phase {part.name!r}"
    if length > longest:
        raise ValueError(
            f"{where}: sequence_length={length} exceeds model.max_position_embeddings={longest}"
        )
