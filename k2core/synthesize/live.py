"""Problems for real MCP servers: what is asked, how an expert solves it, how it is verified.

The gold answers come from elsewhere than the servers: from the zones' offsets, from the records
that were written, from the repository's own files. Results are recorded as the servers gave them,
but for the time server's dates, which would differ from day to day.
"""

import json
import random
import re
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pydantic import JsonValue

from k2core.environments import result_text
from k2core.problems import Call, Content, Posed, Say, Script
from k2core.problems.words import ITEMS, WORDS
from k2core.tools.listed import find_package
from k2core.tools.servers import CallResult, McpServer, start_server
from schemas.chat import Message, Problem, ToolSpec


class LiveFamily(ABC):
    """Problems of one server; each starts from a state that does not depend on those before."""

    server: ClassVar[str]
    arguments: ClassVar[Sequence[str]]
    """Command line of the server."""
    license: ClassVar[str] = "MIT"
    """Of the server's package, by its own metadata."""
    verifier: ClassVar[str] = "text_answer"

    @contextmanager
    def start(self, folder: Path, *, unsafe: bool = False) -> Iterator[McpServer]:
        """Run the server in its working directory.

        Raises:
            ServersMissingError: it is not installed, does not start, or no jail works here and
                `unsafe` does not allow to go without.
        """
        with start_server(self.server, self.arguments, folder, unsafe=unsafe) as server:
            yield server

    @property
    def source(self) -> str:
        """The server's package with version."""
        name = f"mcp-server-{self.server}"
        return f"{name}=={find_package(name).version}"

    def prepare(self, folder: Path) -> None:  # noqa: B027 (not every server needs it)
        """Fill the server's working directory before it starts."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Content:
        """What a problem is about: with `request`, `tools` (names), `expected`."""

    @abstractmethod
    def act(self, posed: Posed) -> Script:
        """How an expert solves it."""

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:  # noqa: B027
        """Set the server's state up for a problem."""

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """The state as it is on disk, not as the server says."""
        return {}

    def stable(self, text: str) -> str:
        """A result without what differs from day to day."""
        return text

    def pose(self, content: Content, number: int, tools: Mapping[str, ToolSpec]) -> Posed:
        """A whole problem."""
        name = f"live_{self.server}"
        problem = Problem(
            problem_id=f"{name}/train/{number}",
            family=name,
            group="tools",
            messages=(Message(role="user", content=content["request"]),),
            tools=tuple(tools[tool] for tool in content["tools"]),
            environment=f"mcp_{self.server}",
            verifier=content.get("verifier", self.verifier),
            expected=content["expected"],
            rubric=("The real server was called, and the outcome is right.",),
            max_turns=5,
            max_tokens=200,
        )
        return Posed(problem, content)


class LiveEnvironment:
    """A problem's session with a running server."""

    def __init__(
        self, family: LiveFamily, server: McpServer, folder: Path, problem: Problem
    ) -> None:
        self._family = family
        self._server = server
        self._folder = folder
        self._names = {tool.name for tool in problem.tools}

    @property
    def state(self) -> Mapping[str, JsonValue]:
        """What is on disk now."""
        return self._family.read_state(self._folder)

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Pass a call of a declared tool on."""
        if name not in self._names:
            return result_text({"error": f"unknown tool {name}"})
        result: CallResult = self._server.call(name, arguments)
        if result.is_error:
            return result.text
        try:
            return self._family.stable(result.text)
        except (AttributeError, LookupError, TypeError, ValueError):  # it says what it never says
            return result.text


# Zones without summer time: the answer is the same on every day.
ZONES = {
    "UTC": 0,
    "Asia/Tokyo": 540,
    "Asia/Dubai": 240,
    "Asia/Kolkata": 330,
    "Asia/Shanghai": 480,
    "Asia/Bangkok": 420,
    "Africa/Lagos": 60,
    "Africa/Nairobi": 180,
    "America/Lima": -300,
    "Pacific/Honolulu": -600,
}
"""Minutes ahead of UTC."""


class LiveTime(LiveFamily):
    """`mcp-server-time`: convert a time between zones."""

    server = "time"
    arguments = ("--local-timezone", "UTC")

    def draw(self, rng: random.Random) -> Content:
        """Two zones and a time."""
        source, target = rng.sample(list(ZONES), 2)
        minutes = rng.randrange(0, 1440, 15)
        wanted = (minutes - ZONES[source] + ZONES[target]) % 1440
        at = f"{minutes // 60:02d}:{minutes % 60:02d}"
        requests = (
            f"It is {at} in {source}. What time is it in {target}?",
            f"Convert {at} from {source} to {target}.",
        )
        return {
            "source": source,
            "target": target,
            "at": at,
            "request": rng.choice(requests),
            "tools": ["convert_time"],
            "expected": {"answer": f"{wanted // 60:02d}:{wanted % 60:02d}"},
        }

    def act(self, posed: Posed) -> Script:
        """One call."""
        content = posed.content
        arguments: dict[str, JsonValue] = {
            "source_timezone": content["source"],
            "time": content["at"],
            "target_timezone": content["target"],
        }
        result = yield Call("convert_time", arguments)
        yield Say(str(json.loads(result)["target"]["time"]))

    def stable(self, text: str) -> str:
        """Zone, time of day and difference; the server's own dates are today's."""
        fields = json.loads(text)
        target = fields["target"]
        kept = {"timezone": target["timezone"], "time": target["datetime"][11:16]}
        return result_text({"target": kept, "time_difference": fields["time_difference"]})


class LiveSqlite(LiveFamily):
    """`mcp-server-sqlite`: read and change a table of items."""

    server = "sqlite"
    arguments = ("--db-path", "items.db")

    def draw(self, rng: random.Random) -> Content:
        """Three items, and a question about one of them or a change to it."""
        items = rng.sample(ITEMS, 3)
        counts = dict(zip(items, rng.sample(range(10, 1000), 3), strict=True))
        item = items[0]
        where = f"WHERE item = '{item}'"
        if rng.random() < 0.5:
            return {
                "counts": counts,
                "sql": f"SELECT count FROM stock {where}",
                "request": f'Table stock has item and count. What is the count of "{item}"?',
                "tools": ["read_query"],
                "expected": {"answer": str(counts[item])},
            }
        new = rng.randint(10, 999)
        return {
            "counts": counts,
            "sql": f"UPDATE stock SET count = {new} {where}",
            "request": f'Table stock has item and count. Set the count of "{item}" to {new}.',
            "tools": ["write_query"],
            "verifier": "final_state",
            "expected": {"state": {**counts, item: new}},
        }

    def act(self, posed: Posed) -> Script:
        """One statement."""
        result = yield Call(posed.content["tools"][0], {"query": posed.content["sql"]})
        found = re.search(r"'count': (\d+)", result)
        yield Say(found[1] if found else "Done.")

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """Make the table anew, through the server."""
        rows = ", ".join(f"('{item}', {count})" for item, count in content["counts"].items())
        statements = (
            ("write_query", "DROP TABLE IF EXISTS stock"),
            ("create_table", "CREATE TABLE stock (item TEXT, count INTEGER)"),
            ("write_query", f"INSERT INTO stock VALUES {rows}"),
        )
        for tool, query in statements:
            result = server.call(tool, {"query": query})
            if result.is_error:
                raise RuntimeError(f"mcp-server-sqlite refused {query!r}: {result.text}")

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """The table's rows."""
        connection = sqlite3.connect(f"file:{folder / 'items.db'}?mode=ro", uri=True)
        try:
            return dict(connection.execute("SELECT item, count FROM stock").fetchall())
        finally:
            connection.close()


class LiveGit(LiveFamily):
    """`mcp-server-git`: tell the branch of a scratch repository, or switch to another one."""

    server = "git"
    arguments = ("--repository", ".")

    def prepare(self, folder: Path) -> None:
        """A repository with one commit."""
        (folder / "notes.txt").write_text("notes\n")
        self._git(folder, "init", "--quiet", "--initial-branch=main")
        self._git(folder, "add", "notes.txt")
        author = ("-c", "user.name=k2", "-c", "user.email=k2@example.org")
        self._git(folder, *author, "commit", "--quiet", "-m", "Add notes")

    def draw(self, rng: random.Random) -> Content:
        """A branch to tell, or to switch to."""
        branch = rng.choice(WORDS)
        if rng.random() < 0.5:
            return {
                "branch": branch,
                "request": 'Which branch is the repository "." on?',
                "tools": ["git_status"],
                "expected": {"answer": branch},
            }
        return {
            "branch": branch,
            "request": f'In the repository ".", switch to branch "{branch}".',
            "tools": ["git_checkout"],
            "verifier": "final_state",
            "expected": {"state": {"branch": branch}},
        }

    def act(self, posed: Posed) -> Script:
        """Read the status, or check the branch out."""
        content = posed.content
        if content["tools"] == ["git_checkout"]:
            yield Call("git_checkout", {"repo_path": ".", "branch_name": content["branch"]})
            yield Say("Done.")
            return
        result = yield Call("git_status", {"repo_path": "."})
        found = re.search(r"On branch (\S+)", result)
        yield Say(found[1] if found else "It is on no branch.")

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """One branch beside main, checked out where it is to be told."""
        self._git(folder, "checkout", "--quiet", "main")
        branches = [p.name for p in (folder / ".git" / "refs" / "heads").iterdir()]
        if others := sorted(set(branches) - {"main"}):
            self._git(folder, "branch", "--quiet", "-D", *others)
        self._git(folder, "branch", content["branch"])
        if content["tools"] == ["git_status"]:
            self._git(folder, "checkout", "--quiet", content["branch"])

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """The branch that HEAD names."""
        head = (folder / ".git" / "HEAD").read_text().strip()
        return {"branch": head.removeprefix("ref: refs/heads/")}

    def _git(self, folder: Path, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


LIVE_FAMILIES: tuple[LiveFamily, ...] = (LiveTime(), LiveGit(), LiveSqlite())
