"""A writer that needs no model: a document's own sentences, parsed and put in another form."""

from collections.abc import Callable
from typing import NamedTuple

from k2core.rephrase.restate.cards import write_cards
from k2core.rephrase.restate.notes import write_notes
from k2core.rephrase.restate.worked import write_worked
from k2core.rephrase.styles import Style


class RestatedForm(NamedTuple):
    """A way to restate."""

    style: Style
    write: Callable[[str], str]


_PROSE, _MATH = ("knowledge", "web"), ("math",)
_FORMS = (
    RestatedForm(Style("cards@1", _PROSE, ("en",), "Questions and their answers."), write_cards),
    RestatedForm(Style("notes@1", _PROSE, ("en",), "Notes, a line a statement."), write_notes),
    RestatedForm(
        Style("learning_notes@1", _MATH, ("en",), "Given, to find, steps, answer."), write_worked
    ),
)


def fitting_forms(domain: str) -> list[RestatedForm]:
    """The forms for texts of a domain, in the order in which they are tried."""
    return [form for form in _FORMS if domain in form.style.domains]
