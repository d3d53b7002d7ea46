"""How interfaces are worded: verbs, descriptions and naming conventions of imagined vendors."""

import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

_TYPES = {"int": "integer", "number": "number", "bool": "boolean"}
Convention = Literal["snake", "camel", "kebab", "prefixed"]


class Wording(NamedTuple):
    """Verbs and descriptions of an operation, by its sign or way where it has one."""

    verbs: Mapping[str, Sequence[str]]
    texts: Mapping[str, Sequence[str]]
    plural: bool = False
    """Whether its name speaks of all records."""


def _one(verbs: str, *texts: str, plural: bool = False) -> Wording:
    return Wording({"": verbs.split()}, {"": texts}, plural)


WORDINGS: Mapping[str, Wording] = {
    "create": _one(
        "create add new register open",
        "Create a new {noun} and return its id.",
        "Register a {noun}. Its id is the result.",
        "Add a {noun} to the {domain} records.",
    ),
    "show": _one(
        "get show read fetch describe",
        "Return all fields of one {noun}.",
        "Look up a {noun} by its id.",
    ),
    "delete": _one(
        "delete remove erase drop",
        "Delete a {noun} for good.",
        "Remove a {noun} from the {domain} records.",
    ),
    "list_all": _one(
        "list all browse",
        "List the ids of all {noun} records.",
        "All known {noun} ids.",
        plural=True,
    ),
    "count_all": _one(
        "count number_of total",
        "Count all {noun} records.",
        "How many {noun} records there are.",
        plural=True,
    ),
    "show_field": _one(
        "get read check look_up",
        "Return the {focus} of one {noun}.",
        "Read the {focus} of a {noun} by its id.",
    ),
    "set_field": _one(
        "set change update edit",
        "Change the {focus} of a {noun}.",
        "Set a new {focus} on one {noun}.",
    ),
    "find": _one(
        "find search look_for filter_by",
        "Ids of the {noun} records with this {focus}.",
        "Search {noun} records by their {focus}.",
        plural=True,
    ),
    "count_where": _one(
        "count_by how_many_with tally",
        "How many {noun} records have this {focus}.",
        "Count {noun} records by {focus}.",
        plural=True,
    ),
    "find_state": _one(
        "list find all show",
        "Ids of the {noun} records that are {focus}.",
        "List every {noun} in state {focus}.",
        plural=True,
    ),
    "find_range": _one(
        "find_between search_range filter",
        "Ids of the {noun} records whose {focus} lies in a range, ends included.",
        "Search {noun} records by a range of {focus}.",
        plural=True,
    ),
    "add_to": Wording(
        {"1": ("increase", "raise", "add_to", "top_up"), "-1": ("decrease", "lower", "take_from")},
        {
            "1": ("Raise the {focus} of a {noun}; returns the new value.", "Add to its {focus}."),
            "-1": (
                "Lower the {focus} of a {noun}, never below 0; returns the new value.",
                "Take from the {focus} of a {noun}.",
            ),
        },
    ),
    "move_between": _one(
        "move transfer shift",
        "Move an amount of {focus} from one {noun} to another.",
        "Take {focus} from a {noun} and give it to another.",
    ),
    "compare": _one(
        "compare which_has_more larger_of",
        "Which of two {noun} records has more {focus}: its id, or equal.",
        "Compare two {noun} records by {focus}.",
    ),
    "aggregate": Wording(
        {"sum": ("sum", "total", "add_up"), "mean": ("average", "mean")},
        {
            "sum": (
                "The {focus} of all {noun} records, added up.",
                "Total {focus} over all {noun}s.",
            ),
            "mean": (
                "The average {focus} of all {noun} records.",
                "Mean {focus} over all {noun}s.",
            ),
        },
        plural=True,
    ),
    "extreme": Wording(
        {"max": ("highest", "most", "top"), "min": ("lowest", "least", "bottom")},
        {
            "max": ("Id of the {noun} with the highest {focus}.", "The {noun} with most {focus}."),
            "min": ("Id of the {noun} with the lowest {focus}.", "The {noun} with least {focus}."),
        },
    ),
    "advance": _one(
        "mark make set_to move_to",
        "Take a {noun} into the state {focus}, from the one before it.",
        "Mark a {noun} as {focus}; refused if it is not its turn.",
    ),
    "end": _one(
        "mark declare end_as",
        "End a {noun} early, as {focus}.",
        "Declare a {noun} {focus}; refused once it has ended.",
    ),
}


class VendorStyle(NamedTuple):
    """A vendor's conventions."""

    convention: Convention
    identity: str
    """How ids are called: `id`, `{noun}_id`, `{noun}`."""
    describes: bool
    """Whether arguments are described."""
    prefix: str
    """Before every name of the vendor, where the convention is `prefixed`."""

    def join(self, verb: str, noun: str, focus: str, *, plural: bool) -> str:
        """A tool's name."""
        subject = f"{noun}s" if plural else noun
        words = "_".join(part for part in (verb, subject, focus) if part)
        if self.convention == "camel":
            first, *rest = words.split("_")
            return first + "".join(word.capitalize() for word in rest)
        if self.convention == "kebab":
            return words.replace("_", "-")
        return f"{self.prefix}_{words}" if self.convention == "prefixed" else words

    def name_argument(self, role: str, noun: str) -> str:
        """An argument's name for its role."""
        name = self.identity.format(noun=noun) if role == "id" else role
        if self.convention != "camel":
            return name
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)


def draw_style(rng: random.Random) -> VendorStyle:
    """A vendor."""
    conventions: tuple[Convention, ...] = ("snake", "snake", "camel", "kebab", "prefixed")
    return VendorStyle(
        rng.choice(conventions),
        rng.choice(("id", "{noun}_id", "{noun}")),
        rng.random() < 0.5,
        rng.choice(("api", "svc", "v1", "core", "app", "hub")),
    )


def json_type(kind: str) -> str:
    """The JSON Schema type of a kind."""
    return _TYPES.get(kind, "string")


def describe_field(role: str, kind: str, noun: str) -> str:
    """What an argument is, for the model."""
    words = role.replace("_", " ")
    if kind == f"ref({noun})":
        words = f"id of the {noun}" if role == "id" else f"id of the {words} {noun}"
    elif kind.startswith("ref("):
        words = f"id of the {kind[4:-1].replace('_', ' ')}"
    elif kind == "date":
        words += ", as YYYY-MM-DD"
    return words[0].upper() + words[1:]
