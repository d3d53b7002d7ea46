"""The catalogue of a set's tools with their provenance; some real ones are distractors."""

import json
from collections.abc import Iterable

from k2core.tools.listed import CatalogEntry
from k2core.tools.orders import find_orders
from schemas.chat import ToolSpec


def pick_distractors(entries: Iterable[CatalogEntry], max_chars: int) -> list[ToolSpec]:
    """Specs whose declaration is short and plain ASCII, each name once."""
    picked: dict[str, ToolSpec] = {}
    for spec, _, _ in entries:
        text = json.dumps(spec.declaration(), separators=(",", ":"), ensure_ascii=False)
        if len(text) <= max_chars and text.isascii() and spec.parameters.get("properties"):
            picked.setdefault(spec.name, spec)
    return list(picked.values())


def write_catalog(entries: Iterable[CatalogEntry]) -> str:
    """`tools.json`: every tool once, with its provenance and licence, in a fixed order."""
    rows = {
        json.dumps(
            {
                **entry.spec.model_dump(mode="json"),
                "server": entry.server,
                "source": entry.origin.source,
                "license": entry.origin.license,
                "role": entry.origin.role,
                "orders": find_orders(entry.spec),
            },
            sort_keys=True,
            ensure_ascii=False,
        )
        for entry in entries
    }
    return "[\n" + ",\n".join(sorted(rows)) + "\n]\n"
