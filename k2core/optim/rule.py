"""The seam for optimizers: what one tells training, resume and the plan of itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from schemas.optim import OptimConfig

if TYPE_CHECKING:
    from torch import Tensor


class HeadClip(NamedTuple):
    """QK-Clip after each update (arXiv:2507.20534, section 2.1)."""

    tau: float
    """Heads with a larger logit are rescaled."""
    per_head: bool
    """Each for itself; else a layer's worst head decides for all."""


class Directions(NamedTuple):
    """Updates of some whole matrices of one shape."""

    places: list[int]
    """Which of the matrices that were given."""
    stack: "Tensor"
    """[k, n, m], of any dtype."""
    scale: float
    """Factor of all."""


class UpdateRule(ABC):
    """An optimizer, D in W <- W - lr (D + weight_decay W); layouts, sums and files are not its job.

    The engine sums and clips gradients, cuts parameters over ranks (ZeRO-1, by matrix or flat,
    under tensor, pipeline, expert and context parallelism), keeps fp32 masters and the rule's
    buffers beside them, decays weights, writes and takes up states, and counts norms by group.
    A rule sees plain tensors. One that works element by element gives `state_names` and `advance`:

        class HeavyBall(UpdateRule):
            def state_names(self, *, matrix):
                return ("velocity",)

            def advance(self, grad, states, step, *, matrix):
                return states["velocity"].mul_(self.config.options["mu"]).add_(grad)

    and is `optim.kind = "package.module:HeavyBall"`. One that needs whole matrices also sets
    `whole_matrices` and gives `directions` and `multiplications`. It must not depend on how
    elements are dealt to calls of `advance`, and equal calls must give equal bytes.

    Args:
        config: read what it names; figures of one's own are in `config.options`.
    """

    whole_matrices: ClassVar[bool] = False
    """Hidden weight matrices go through `directions`, whole, whatever ranks hold of them."""

    def __init__(self, config: OptimConfig) -> None:
        self.config = config

    @abstractmethod
    def state_names(self, *, matrix: bool) -> tuple[str, ...]:
        """The fp32 buffers that it keeps for each element, by name: what a state on disk holds.

        Args:
            matrix: of hidden weight matrices; else of norm gains, embedding and output layer.
        """

    @abstractmethod
    def advance(
        self, grad: "Tensor", states: Mapping[str, "Tensor"], step: int, *, matrix: bool
    ) -> "Tensor":
        """Take up a gradient, element by element.

        Args:
            grad: fp32 and flat: any run of a parameter's elements. It may be overwritten.
            states: the buffers of the same elements, zeros at first: changed in place.
            step: counted from 1.
            matrix: as in `state_names`.

        Returns:
            The direction; of matrices, with `whole_matrices`, what `directions` is given. A
            buffer or the gradient itself will do: it is read before the next step.
        """

    def directions(self, matrices: "Sequence[Tensor]") -> Iterator[Directions]:
        """The directions of whole matrices, each once, in any order and company.

        Args:
            matrices: of any shapes, made of what `advance` returned; not to be changed.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.whole_matrices is set: it must define `directions`"
        )

    def multiplications(self, rows: int, columns: int) -> int:
        """What `directions` spends on a matrix: ranks share the work, and the plan its time."""
        return 0

    @property
    def head_clip(self) -> HeadClip | None:
        """How attention heads are rescaled after the update; None leaves them alone."""
        return None
