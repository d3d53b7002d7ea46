"""Problems for harvested servers from PyPI: sums, digests, a shell, a line editor."""

import hashlib
import json
import random
import re
import shutil
from pathlib import Path

from pydantic import JsonValue

from k2core.problems import Call, Content, Posed, Say, Script
from k2core.problems.words import ITEMS, WORDS
from k2core.synthesize.live_installed import InstalledFamily
from k2core.tools.servers import McpServer


class LiveCalculator(InstalledFamily):
    """`mcp-server-calculator`: an expression."""

    server = "calculator"

    def draw(self, rng: random.Random) -> Content:
        """Numbers in one of three forms."""
        a, b, c = rng.randint(11, 99), rng.randint(11, 99), rng.randint(2, 9)
        text, value = rng.choice(
            (
                (f"{a} * ({b} + {c})", a * (b + c)),
                (f"{a} * {b} - {c}", a * b - c),
                (f"({a} - {b}) ** 2 + {c}", (a - b) ** 2 + c),
            )
        )
        return {
            "expression": text,
            "request": f"Compute {text}.",
            "tools": ["calculate"],
            "expected": {"answer": str(value)},
        }

    def act(self, posed: Posed) -> Script:
        """One call; its result is the answer."""
        result = yield Call("calculate", {"expression": posed.content["expression"]})
        yield Say(result)


class LiveHashlib(InstalledFamily):
    """`mcp-hashlib`: a digest of a few words, known from the standard library."""

    server = "hashlib"

    def draw(self, rng: random.Random) -> Content:
        """Words, and one of three digests."""
        text = " ".join(rng.sample(WORDS, 2))
        kind, name, digest = rng.choice(
            (
                ("md5", "MD5 digest", hashlib.md5(text.encode()).hexdigest()),
                ("sha1", "SHA-1 digest", hashlib.sha1(text.encode()).hexdigest()),
                (
                    "blake2b",
                    "BLAKE2b digest of 8 bytes",
                    hashlib.blake2b(text.encode(), digest_size=8).hexdigest(),
                ),
            )
        )
        size: dict[str, JsonValue] = {"digest_size": 8} if kind == "blake2b" else {}
        return {
            "call": [f"hash_{kind}", {"data": text, **size}],
            "request": f'What is the {name} of "{text}", in hexadecimal?',
            "tools": [f"hash_{kind}"],
            "expected": {"answer": digest},
        }

    def act(self, posed: Posed) -> Script:
        """One call; its result is the answer."""
        result = yield Call(*posed.content["call"])
        yield Say(result)


class FolderFamily(InstalledFamily):
    """Problems whose state is the files of the working directory."""

    def reset(self, server: McpServer, folder: Path, content: Content) -> None:
        """These files and no others."""
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        for name, text in content["files"].items():
            (folder / name).write_text(text)

    def read_state(self, folder: Path) -> dict[str, JsonValue]:
        """The files' texts by their paths."""
        files = sorted(path for path in folder.rglob("*.txt") if path.is_file())
        return {str(path.relative_to(folder)): path.read_text() for path in files}


class LiveShell(FolderFamily):
    """`mcp-shell-server`, allowed a handful of commands: count, find, move, remove."""

    server = "shell"

    def draw(self, rng: random.Random) -> Content:
        """Three files of some words, one a line, and what to do."""
        names = [f"{name}.txt" for name in rng.sample(ITEMS, 4)]
        words = rng.sample(WORDS, 12)
        sizes = [rng.randint(2, 4) for _ in range(3)]
        lines = [words[4 * n : 4 * n + size] for n, size in enumerate(sizes)]
        files = {n: "".join(f"{w}\n" for w in ws) for n, ws in zip(names, lines, strict=False)}
        path, *_, new = names
        moved = {new if name == path else name: text for name, text in files.items()}
        left = {name: text for name, text in files.items() if name != path}
        word = lines[0][0]
        command, request, answer, state = rng.choice(
            (
                (["wc", "-l", path], f"How many lines has {path}?", str(sizes[0]), None),
                (
                    ["grep", "-l", word, *sorted(files)],
                    f'Which of {", ".join(sorted(files))} holds the word "{word}"?',
                    path,
                    None,
                ),
                (["mv", path, new], f"Rename {path} to {new}.", None, moved),
                (["rm", path], f"Delete {path}.", None, left),
            )
        )
        return {
            "files": files,
            "command": command,
            "request": f"{request} The files are in /data.",
            "tools": ["shell_execute"],
            "verifier": "text_answer" if answer else "final_state",
            "expected": {"answer": answer} if answer else {"state": state},
        }

    def act(self, posed: Posed) -> Script:
        """One command."""
        command = posed.content["command"]
        result = yield Call("shell_execute", {"command": command, "directory": "/data"})
        yield Say(result.split()[0] if "answer" in posed.problem.expected else "Done.")


class LiveEditor(FolderFamily):
    """`mcp-text-editor`: read a line, or replace one under the digests of what was read."""

    server = "editor"

    def draw(self, rng: random.Random) -> Content:
        """A file of five lines, and one of them to tell or to replace."""
        name = f"{rng.choice(ITEMS)}.txt"
        lines = rng.sample(WORDS, 6)
        new, number = lines.pop(), rng.randint(1, 5)
        files = {name: "".join(f"{line}\n" for line in lines)}
        about = {"files": files, "path": f"/data/{name}", "number": number}
        if rng.random() < 0.5:
            return {
                **about,
                "request": f"What does line {number} of /data/{name} say?",
                "tools": ["get_text_file_contents"],
                "expected": {"answer": lines[number - 1]},
            }
        lines[number - 1] = new
        return {
            **about,
            "new": new,
            "request": f'Make line {number} of /data/{name} say "{new}".',
            "tools": ["get_text_file_contents", "edit_text_file_contents"],
            "verifier": "final_state",
            "expected": {"state": {name: "".join(f"{line}\n" for line in lines)}},
        }

    def act(self, posed: Posed) -> Script:
        """Read the line; to replace it, give back the digests that came with it."""
        content = posed.content
        path, number = content["path"], content["number"]
        ranges: JsonValue = [{"start": number, "end": number}]
        asked: JsonValue = [{"file_path": path, "ranges": ranges}]
        found = json.loads((yield Call("get_text_file_contents", {"files": asked})))[path]
        line = found["ranges"][0]
        if "new" not in content:
            yield Say(re.sub(r"\s+$", "", line["content"]))
            return
        patch: JsonValue = {
            "line_start": number,
            "line_end": number,
            "contents": f"{content['new']}\n",
            "range_hash": line["range_hash"],
        }
        change: JsonValue = [{"path": path, "file_hash": found["file_hash"], "patches": [patch]}]
        yield Call("edit_text_file_contents", {"files": change})
        yield Say("Done.")


FILE_FAMILIES: tuple[InstalledFamily, ...] = (
    LiveCalculator(),
    LiveHashlib(),
    LiveShell(),
    LiveEditor(),
)
