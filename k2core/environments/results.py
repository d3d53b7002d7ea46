"""Reading what a tool answered: JSON as a simulator writes it, or anything that a server says."""

from pydantic import JsonValue

from schemas.outside import NotJsonError, read_json


def read_fields(result: str) -> dict[str, JsonValue] | None:
    """The fields of a result that is a JSON object; None of any other."""
    try:
        found = read_json(result)
    except NotJsonError:
        return None
    return found if isinstance(found, dict) else None


def stated_error(result: str) -> str | None:
    """The error that a result states; None where it states none."""
    error = (read_fields(result) or {}).get("error")
    return None if error is None else str(error)
