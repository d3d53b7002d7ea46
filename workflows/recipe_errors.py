"""What is wrong with a recipe: the field, what stands there, and what would be right."""

import difflib
import typing
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Loc = Sequence[int | str]


def describe_errors(
    error: ValidationError, model: type[BaseModel], where: Callable[[Loc], str] = lambda loc: ""
) -> str:
    """A line for each wrong field.

    Args:
        error: what pydantic found.
        model: what was validated.
        where: gives what stands before a field's line, such as the line of a file.
    """
    lines = []
    for each in error.errors():
        name = ".".join(map(str, each["loc"])) or "recipe"
        lines.append(f"  {where(each['loc'])}{name}: {_say(each, model)}")
    return "\n".join(lines)


def suggest(name: str, known: Iterable[str]) -> str:
    """`did you mean 'folder'?`, or all that there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"


def section_of(annotation: object) -> type[BaseModel] | None:
    """The section that a field is, or holds a list of; none where it is a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = map(section_of, typing.get_args(annotation))
    return next((each for each in found if each is not None), None)


def _say(each: ErrorDetails, model: type[BaseModel]) -> str:
    if each["type"] == "extra_forbidden":
        section = _section_at(model, each["loc"][:-1])
        fields = section.model_fields if section else ()
        return f"there is no such field; {suggest(str(each['loc'][-1]), fields)}"
    if each["type"] == "missing":
        return "Field required"
    shown = each["type"] != "credentials" and not isinstance(each["input"], dict)
    return each["msg"] + (f" (got {each['input']!r})" if shown else "")


def _section_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    section: type[BaseModel] | None = model
    for part in loc:
        if section is not None and part in section.model_fields:
            section = section_of(section.model_fields[str(part)].annotation)
    return section
