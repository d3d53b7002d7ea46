"""Dialogues that an iteration left unfinished (arXiv:2501.12599, section 2.6.2)."""

from collections.abc import Iterable, Mapping, Sequence

from k2core.agents import Start
from k2core.rl.samples import Known
from schemas.base import Config
from schemas.chat import Problem


class Group(Config):
    """A problem of whose samples some have not ended."""

    problem: Problem
    known: tuple[Known, ...] = ()
    """Of those that have."""
    begun: tuple[Start, ...] = ()
    """Each segment with the digest of the weights that wrote it."""


class Buffer(Config):
    """What the next iteration goes on with."""

    groups: tuple[Group, ...] = ()

    @property
    def starts(self) -> list[Start]:
        """A problem's together."""
        return [start for group in self.groups for start in group.begun]

    @property
    def known(self) -> dict[str, tuple[Known, ...]]:
        """By problem."""
        return {group.problem.problem_id: group.known for group in self.groups}

    def after(
        self,
        left: Sequence[Start],
        known: Mapping[str, Sequence[Known]],
        lost: Iterable[str],
    ) -> "Buffer":
        """Once another part was played.

        Args:
            left: what is unfinished now, a problem's together.
            known: by problem, what those earned that have just ended.
            lost: problems that are left out.
        """
        gone, groups = set(lost), dict[str, Group]()
        for start in left:
            name = start.problem.problem_id
            if name not in gone:
                earned = (*self.known.get(name, ()), *known.get(name, ()))
                old = groups.get(name, Group(problem=start.problem, known=earned))
                groups[name] = old.model_copy(update={"begun": (*old.begun, start)})
        return Buffer(groups=tuple(groups.values()))
