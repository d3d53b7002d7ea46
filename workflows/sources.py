"""A recipe's files as they lie now: whole paths, and what was there when the run began."""

from pathlib import Path

from k2core.ingest.source import SourceError
from k2core.ingest.state import state_of
from schemas.ingest import FilesConfig
from schemas.recipe import Recipe
from workflows.errors import MendableError


def settle_files(recipe: Recipe) -> Recipe:
    """The recipe whose files are named from anywhere, and are read anew if they changed.

    Raises:
        MendableError: there are none; says where.
    """
    if not recipe.ingest.files:
        return recipe
    try:
        settled = tuple(map(_settle, recipe.ingest.files))
    except SourceError as error:
        raise MendableError(f"ingest.files: {error}") from None
    ingest = recipe.ingest.model_copy(update={"files": settled})
    return recipe.model_copy(update={"ingest": ingest})


def _settle(files: FilesConfig) -> FilesConfig:
    found = files.model_copy(update={"folder": absolute(files.folder)})
    return found.model_copy(update={"state": state_of(found)})


def absolute(place: str, base: Path | None = None) -> str:
    """An address as it is; a path from the root, relative ones below a folder (or where one is)."""
    if "://" in place and not place.startswith("file://"):
        return place
    return str((base or Path.cwd()) / Path(place.removeprefix("file://")).expanduser())
