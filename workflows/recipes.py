"""Recipes: functions that return a complete one. A new variant is a new function."""

from collections.abc import Callable

from schemas.recipe import Recipe


def tiny() -> Recipe:
    """Every stage for real on a laptop's CPU, in minutes: the defaults of all configs."""
    return Recipe(name="tiny")


def smoke() -> Recipe:
    """The same stages with smaller counts, for the tests."""
    return Recipe(name="smoke")


RECIPES: dict[str, Callable[[], Recipe]] = {"tiny": tiny, "smoke": smoke}
