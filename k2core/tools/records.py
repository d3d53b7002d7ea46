"""Records to begin a session with: seeded values of every kind of field."""

import random
from typing import Any

from k2core.tools.ontology import Entity, read_ontology

_TEXTS = {
    "colour": ("red", "blue", "green", "black"),
    "city": ("Porto", "Lyon", "Graz", "Bergen", "Cork"),
    "country": ("Chile", "Ghana", "Norway", "Laos", "Peru"),
    "surname": ("Okafor", "Lind", "Moreau", "Sato", "Keller", "Haddad"),
    "title": ("Aurora", "Cobalt", "Meridian", "Juniper", "Harbour"),
}
_PEOPLE = ("Ana", "Bo", "Chen", "Dora", "Emil", "Fay", "Goran", "Hana", "Ivo", "Jun")
_WORDS = ("north", "amber", "delta", "willow", "stone", "cedar", "lake", "orbit", "maple", "sand")
_PERSONAL = frozenset(
    (
        *("customer", "owner", "guest", "holder", "patient", "doctor", "author", "buyer", "client"),
        *("employee", "sender", "receiver", "assignee", "host", "member", "driver", "borrower"),
        *("applicant", "nickname", "passenger", "tenant", "reader", "trainer"),
    )
)


def draw_value(field: str, kind: str, rng: random.Random) -> Any:
    """A value of the kind; a reference is left to `draw_tables`."""
    if kind == "int":
        return rng.randrange(1, 100)
    if kind == "number":
        return rng.randrange(10, 1000) + rng.choice((0, 0, 0.5))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "date":
        return f"2026-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
    return rng.choice(_TEXTS.get(field, _PEOPLE if field in _PERSONAL else _WORDS))


def draw_tables(entity: Entity, rng: random.Random, num_records: int = 4) -> dict[str, Any]:
    """A table of the entity, and one of each that its records lead to."""
    tables: dict[str, Any] = {}
    for name in entity.references:
        tables[name] = _draw_table(find_entity(entity.domain, name), rng, 2, tables)
    tables[entity.name] = _draw_table(entity, rng, num_records, tables)
    return tables


def find_entity(domain: str, name: str) -> Entity:
    """The entity of a domain.

    Raises:
        LookupError: there is none.
    """
    for entity in read_ontology():
        if (entity.domain, entity.name) == (domain, name):
            return entity
    raise LookupError(f"no entity {name} in {domain}")


def _draw_table(
    entity: Entity, rng: random.Random, count: int, tables: dict[str, Any]
) -> dict[str, Any]:
    def value(field: str, kind: str) -> Any:
        if kind.startswith("ref("):
            return rng.choice(sorted(tables.get(kind[4:-1], {f"{kind[4:-1]}_1": {}})))
        return draw_value(field, kind, rng)

    return {
        f"{entity.name}_{number}": {
            **{field: value(field, kind) for field, kind in entity.fields.items()},
            "state": rng.choice(entity.states[:-1]),
        }
        for number in range(1, count + 1)
    }
