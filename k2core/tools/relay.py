"""Between us and an MCP server: what it says reaches us bounded in size, or as an error.

`python -I -S relay.py MOST_BYTES COMMAND...`. The client reads a line whole, however long it is,
and waits for ever for an answer that it could not read. This holds no more than so many bytes of
a line, and answers in the server's place where the server says what is no message.
"""

import json
import re
import subprocess
import sys
from typing import IO

_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,100}")')
_SEEN = 4096


def main() -> int:
    """The server's exit code."""
    most, command = int(sys.argv[1]), sys.argv[2:]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        relay(server.stdout, sys.stdout.buffer, most)
    return server.returncode


def relay(said: IO[bytes], out: IO[bytes], most: int) -> None:
    """Pass lines on until there are no more."""
    while line := said.readline(most):
        if line.endswith(b"\n") or len(line) < most:
            out.write(_as_message(line))
        else:
            said_of_it = f"result too large: more than {most} bytes; ask for less"
            out.write(_refuse(line, _skip(said, most), said_of_it))
        out.flush()


def _as_message(line: bytes) -> bytes:
    """The line as the client takes it: halves of characters replaced, no nonsense."""
    try:
        message = json.loads(line)
        if isinstance(message, dict) and isinstance(message.get("result", {}), dict):
            return json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n"
    except (RecursionError, ValueError):
        pass
    return _refuse(line, line[-_SEEN:], "the server's answer is no message of MCP")


def _skip(said: IO[bytes], most: int) -> bytes:
    """The end of a line whose beginning was read."""
    end = b""
    while part := said.readline(most):
        end = (end + part)[-_SEEN:]
        if part.endswith(b"\n"):
            break
    return end


def _refuse(start: bytes, end: bytes, why: str) -> bytes:
    """An answer to the request that this was to answer; nothing where that cannot be told."""
    found = _ID.search(start[:_SEEN]) or _ID.search(end)
    if found is None:
        return b""
    error = {"code": -32000, "message": why}
    answer = {"jsonrpc": "2.0", "id": json.loads(found[1]), "error": error}
    return json.dumps(answer).encode() + b"\n"


if __name__ == "__main__":
    raise SystemExit(main())
