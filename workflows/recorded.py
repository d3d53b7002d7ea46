"""A recipe that another version of this code recorded, read as one of today's.

Fields that are gone are left out, new ones take their defaults, values that are no longer allowed
are replaced by defaults: each is told, because what is run with it is not what was run.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from schemas.recipe import Recipe
from workflows.errors import NotRecordedError
from workflows.recipe_errors import describe_errors

_MOST = 200
"""Fields that are mended; a recipe with more faults is none."""


class Recorded(NamedTuple):
    """A recorded recipe as today's code takes it."""

    recipe: Recipe
    changes: tuple[str, ...]
    """What it says otherwise than the record, a field each."""


def read_recorded(tree: dict[str, object]) -> Recorded:
    """Take a recorded recipe, whatever code wrote it.

    Raises:
        NotRecordedError: it lacks what has no default, or is no recipe at all.
    """
    left: dict[str, object] = json.loads(json.dumps(tree))
    changes: list[str] = []
    for _ in range(_MOST):
        try:
            recipe = Recipe.model_validate(left)
        except ValidationError as error:
            dropped = [each for each in map(_Fault.of, error.errors()) if each.drop(left)]
            if not dropped:
                lines = describe_errors(error, Recipe)
                raise NotRecordedError(
                    f"the recorded recipe is of other code, and cannot be read by this:\n{lines}"
                ) from None
            changes += [each.said for each in dropped]
        else:
            new = _added(recipe.model_dump(mode="json"), left, "")
            return Recorded(recipe, tuple(dict.fromkeys([*changes, *new])))
    raise NotRecordedError("the recorded recipe has nothing that this code knows")


class _Fault(NamedTuple):
    """A field that does not fit."""

    loc: tuple[int | str, ...]
    said: str
    gone: bool = False

    @classmethod
    def of(cls, error: object) -> "_Fault":
        """Of what pydantic found."""
        assert isinstance(error, dict)
        loc, kind = tuple(error["loc"]), error["type"]
        name, value = ".".join(map(str, loc)), json.dumps(error["input"], default=str)[:80]
        if kind == "extra_forbidden":
            return cls(loc, f"{name} is no field any more (it was {value})", gone=True)
        if kind == "missing":
            return cls((), name)
        return cls(loc, f"{name} cannot be {value} any more: {error['msg']}")

    def drop(self, tree: object) -> bool:
        """Delete it; parts of its place that only name a kind are passed over."""
        holder: dict[str, object] | None = None
        key = ""
        for part in self.loc:
            if isinstance(tree, dict) and part in tree:
                holder, key, tree = tree, str(part), tree[part]
            elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
                tree = tree[part]
        if holder is None or (isinstance(tree, dict) and not self.gone):
            return False  # a whole section is no value that a default could stand for
        del holder[key]
        return True


def _added(now: object, then: object, name: str) -> Iterator[str]:
    """Fields that the record does not have, with what they are now."""
    if not (isinstance(now, dict) and isinstance(then, dict)):
        return
    for key, value in now.items():
        path = f"{name}.{key}" if name else key
        if key not in then:
            yield f"{path} is {json.dumps(value)[:80]}, which the record does not say"
        else:
            yield from _added(value, then[key], path)
