"""Categories -> domains -> entities: what synthetic tools are about."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

_FILE = Path(__file__).with_name("ontology.yaml")
_FIELD = re.compile(r"([a-z_]+):(ref\([a-z_]+\)|[a-z_>|]+)")
KINDS = ("text", "int", "number", "date", "bool")


class Entity(NamedTuple):
    """A kind of record in a domain."""

    category: str
    domain: str
    name: str
    fields: Mapping[str, str]
    """Field -> kind, the life cycle aside."""
    states: tuple[str, ...]
    """The life cycle in order."""
    ended: str
    """The state of an early end."""

    @property
    def cycle(self) -> str:
        """The life cycle as the ontology writes it."""
        return ">".join(self.states) + f"|{self.ended}"

    @property
    def numbers(self) -> tuple[str, ...]:
        """Fields that can be counted with."""
        return tuple(name for name, kind in self.fields.items() if kind in ("int", "number"))

    @property
    def references(self) -> tuple[str, ...]:
        """Tables that records of this kind lead to."""
        return tuple(kind[4:-1] for kind in self.fields.values() if kind.startswith("ref("))


@cache
def read_ontology(path: Path = _FILE) -> tuple[Entity, ...]:
    """All entities in the file's order.

    Raises:
        ValueError: a line that is not fields; names category, domain and entity.
    """
    found = []
    for category, domains in yaml.safe_load(path.read_text()).items():
        for domain, entities in domains.items():
            for name, text in entities.items():
                found.append(_read(path, category, domain, name, text))
    return tuple(found)


def _read(path: Path, category: str, domain: str, name: str, text: str) -> Entity:
    where = f"{path.name}: {category}/{domain}/{name}"
    fields = dict(_FIELD.findall(text))
    if " ".join(f"{n}:{k}" for n, k in fields.items()) != text or "state" not in fields:
        raise ValueError(f"{where}: {text!r} is not NAME:KIND ... state:a>b|c")
    cycle = fields.pop("state")
    strange = [k for k in fields.values() if k not in KINDS and not k.startswith("ref(")]
    if strange or "|" not in cycle:
        raise ValueError(f"{where}: {(strange or [cycle])[0]!r} is none of {', '.join(KINDS)}")
    states, _, ended = cycle.partition("|")
    return Entity(category, domain, name, fields, tuple(states.split(">")), ended)
