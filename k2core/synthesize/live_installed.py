"""Problems for harvested servers (npm, so node must be there): files, a knowledge graph, sums."""

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from k2core.problems import Call, Content, Posed, Say, Script
from k2core.problems.words import ITEMS, PEOPLE, WORDS
from k2core.synthesize.live import LiveFamily
from k2core.tools.installed import find_entry, start_installed
from k2core.tools.servers import McpServer

_GRAPH = "memory.jsonl"


class InstalledFamily(LiveFamily):
    """Problems of a server of the catalogue, as `k2 tools harvest` installed it."""

    arguments = ()

    @contextmanager
    def start(self, folder: Path, *, unsafe: bool = False) -> Iterator[McpServer]:
        """Run it, in a jail whatever is allowed: it sees its folder as `/data`.

        Raises:
            ServersMissingError: it was not harvested; the message says how to.
        """
        with start_installed(self.server, folder) as server:
            yield server

    @property
    def source(self) -> str:
        """Package with version."""
        return find_entry(self.server).source


class LiveFilesystem(InstalledFamily):
    """`server-filesystem`: read a file, write one, rename one."""

    server = "filesystem"

    def draw(self, rng: random.Random) -> Content:
        """Two files of a word each, and what to do."""
        names = rng.sample(ITEMS, 3)
        files = {f"{name}.txt": rng.choice(WORDS) for name in names[:2]}
        path, other = list(files)
        kind = rng.choice(("read", "write", "move"))
        if kind == "read":
            return {
                "files": files,
                "call": ["read_text_file", {"path": path}],
                "request": f"What does the file {path} say?",
                "tools": ["read_text_file"],
                "expected": {"answer": files[path]},
            }
        if kind == "write":
            new = rng.choice(WORDS)
            return {
                "files": files,
                "call": ["write_file", {"path": path, "content": new}],
                "request": f'Make the file {path} say "{new}" and nothing else.',
                "tools": ["write_file"],
                "verifier": "final_state",
                "expected": {"state": {**files, path: new}},
            }
        target = f"{names[2]}.txt"
        return {
            "files": files,
            "call": ["move_file", {"source": path, "destination": target}],
            "request": f"Rename {path} to {target}.",
            "tools": ["move_file"],
            "verifier": "final_state",
            "expected": {"state": {other: files[other], target: files[path]}},
        }

    def act(self, posed: Posed) -> Script:
        """One call."""
        name, arguments = posed.content["call"]
        result = yield Call(name, arguments)
        yield Say(result if name == "read_text_file" else "Done.")

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """These files and no others."""
        for path in folder.glob("*.txt"):
            path.unlink()
        for name, text in content["files"].items():
            (folder / name).write_text(text)

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """The files' texts."""
        return {path.name: path.read_text() for path in sorted(folder.glob("*.txt"))}


class LiveMemory(InstalledFamily):
    """`server-memory`: ask a knowledge graph, or add to it."""

    server = "memory"

    def draw(self, rng: random.Random) -> Content:
        """Three people who like something, and a question about one or a new one."""
        people = rng.sample(PEOPLE, 4)
        likes = dict(zip(people[:3], rng.sample(ITEMS, 3), strict=True))
        if rng.random() < 0.5:
            person = people[0]
            return {
                "likes": likes,
                "call": ["open_nodes", {"names": [person]}],
                "request": f'What does "{person}" like, by the knowledge graph?',
                "tools": ["open_nodes"],
                "expected": {"answer": likes[person]},
            }
        person, item = people[3], rng.choice(ITEMS)
        node = {"name": person, "entityType": "person", "observations": [f"likes {item}"]}
        return {
            "likes": likes,
            "call": ["create_entities", {"entities": [node]}],
            "request": f'Add the person "{person}" to the knowledge graph: "likes {item}".',
            "tools": ["create_entities"],
            "verifier": "final_state",
            "expected": {"state": {**likes, person: item}},
        }

    def act(self, posed: Posed) -> Script:
        """One call."""
        result = yield Call(*posed.content["call"])
        found = re.search(r"likes (\w+)", result)
        asked = "answer" in posed.problem.expected
        yield Say(found[1] if asked and found else "Done.")

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """The graph's file, which the server reads at every call."""
        nodes = [
            {"type": "entity", "name": p, "entityType": "person", "observations": [f"likes {i}"]}
            for p, i in content["likes"].items()
        ]
        (folder / _GRAPH).write_text("\n".join(map(json.dumps, nodes)))

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """Who likes what, by the file."""
        nodes = [json.loads(line) for line in (folder / _GRAPH).read_text().splitlines()]
        return {
            node["name"]: node["observations"][0].removeprefix("likes ")
            for node in nodes
            if node["type"] == "entity" and node["observations"]
        }


class LiveEverything(InstalledFamily):
    """`server-everything`: its adding machine."""

    server = "everything"

    def draw(self, rng: random.Random) -> Content:
        """Two numbers."""
        a, b = rng.randint(10, 999), rng.randint(10, 999)
        return {
            "call": ["get-sum", {"a": a, "b": b}],
            "request": f"Add {a} and {b}.",
            "tools": ["get-sum"],
            "expected": {"answer": str(a + b)},
        }

    def act(self, posed: Posed) -> Script:
        """One call; the sum ends the server's sentence."""
        result = yield Call(*posed.content["call"])
        found = re.search(r" is (\d+)\.$", result)
        yield Say(found[1] if found else "It gave no sum.")


NODE_FAMILIES: tuple[InstalledFamily, ...] = (
    LiveFilesystem(),
    LiveMemory(),
    LiveEverything(),
)
