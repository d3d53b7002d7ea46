"""Problems for harvested servers of office files: a workbook and a document."""

import json
import random
import re
from pathlib import Path

from pydantic import JsonValue

from k2core.problems import Call, Content, Posed, Say, Script
from k2core.problems.words import ITEMS, WORDS
from k2core.synthesize.live_installed import InstalledFamily
from k2core.synthesize.office import read_docx, read_xlsx, write_docx
from k2core.tools.servers import McpServer

_BOOK, _SHEET = "stock.xlsx", "stock"
_TEXT = "places.docx"


class LiveExcel(InstalledFamily):
    """`excel-mcp-server`: tell a cell of a table, or find a row and change it."""

    server = "excel"

    def draw(self, rng: random.Random) -> Content:
        """Four items with counts, and a question about one or a change to it."""
        items = rng.sample(ITEMS, 4)
        counts = dict(zip(items, rng.sample(range(10, 1000), 4), strict=True))
        item = rng.choice(items)
        where = f"sheet {_SHEET} of /data/{_BOOK}, with items in column A and counts in column B"
        if rng.random() < 0.5:
            return {
                "counts": counts,
                "item": item,
                "request": f'In {where}: what is the count of "{item}"?',
                "tools": ["read_range"],
                "expected": {"answer": str(counts[item])},
            }
        new = rng.randint(1000, 9999)
        return {
            "counts": counts,
            "item": item,
            "new": new,
            "request": f'In {where}: set the count of "{item}" to {new}.',
            "tools": ["find_cells", "write_range"],
            "verifier": "final_state",
            "expected": {"state": {**counts, item: new}},
        }

    def act(self, posed: Posed) -> Script:
        """Read the table; or find the row, then write beside it."""
        content = posed.content
        path: dict[str, JsonValue] = {"path": f"/data/{_BOOK}"}
        if "new" not in content:
            result = yield Call("read_range", {**path, "sheet": _SHEET})
            counts = dict(json.loads(result)["values"][1:])
            yield Say(str(counts.get(content["item"], "It is not there.")))
            return
        result = yield Call("find_cells", {**path, "query": content["item"], "exact": True})
        place = str(next(iter(json.loads(result)["matches"][_SHEET])))
        beside: dict[str, JsonValue] = {
            "sheet": _SHEET,
            "at": f"B{place.removeprefix('A')}",
            "rows": [[content["new"]]],
        }
        yield Call("write_range", {**path, **beside})
        yield Say("Done.")

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """Make the workbook anew, through the server."""
        path = f"/data/{_BOOK}"
        rows = [["item", "count"], *map(list, content["counts"].items())]
        for tool, arguments in (
            ("create_workbook", {"path": path, "sheets": [_SHEET], "overwrite": True}),
            ("write_range", {"path": path, "sheet": _SHEET, "at": "A1", "rows": rows}),
        ):
            result = server.call(tool, arguments)
            if result.is_error:
                raise RuntimeError(f"excel-mcp-server refused {tool}: {result.text}")

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """Item -> count, by the file."""
        cells = read_xlsx(folder / _BOOK)
        rows = range(2, 2 + len(cells) // 2)
        return {cells[f"A{row}"]: int(cells[f"B{row}"]) for row in rows if f"A{row}" in cells}


class LiveWord(InstalledFamily):
    """`office-word-mcp-server`: read a document, or replace a word in it."""

    server = "word"

    def draw(self, rng: random.Random) -> Content:
        """Three items and where they are, and what to do."""
        items = rng.sample(ITEMS, 4)
        places = dict(zip(items[:3], rng.sample(WORDS, 3), strict=True))
        item, other = items[0], items[3]
        if rng.random() < 0.5:
            return {
                "places": places,
                "item": item,
                "request": f'Where is the "{item}", by the document /data/{_TEXT}?',
                "tools": ["get_document_text"],
                "expected": {"answer": places[item]},
            }
        changed = {other if name == item else name: place for name, place in places.items()}
        return {
            "places": places,
            "item": item,
            "new": other,
            "request": f'In the document /data/{_TEXT}, replace "{item}" by "{other}".',
            "tools": ["search_and_replace"],
            "verifier": "final_state",
            "expected": {"state": {"paragraphs": _lines(changed)}},
        }

    def act(self, posed: Posed) -> Script:
        """One call."""
        content = posed.content
        path: dict[str, JsonValue] = {"filename": f"/data/{_TEXT}"}
        if "new" in content:
            words = {"find_text": content["item"], "replace_text": content["new"]}
            yield Call("search_and_replace", {**path, **words})
            yield Say("Done.")
            return
        result = yield Call("get_document_text", path)
        found = re.search(rf"The {content['item']} is in (\w+)\.", result)
        yield Say(found[1] if found else "It is not there.")

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """The document with a sentence an item."""
        write_docx(folder / _TEXT, _lines(content["places"]))

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """The paragraphs, by the file."""
        return {"paragraphs": list(read_docx(folder / _TEXT))}


def _lines(places: dict[str, str]) -> list[str]:
    return [f"The {item} is in {place}." for item, place in places.items()]


OFFICE_FAMILIES: tuple[InstalledFamily, ...] = (LiveExcel(), LiveWord())
