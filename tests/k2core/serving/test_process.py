"""The server's process: what it says is kept, and told where it does not start."""

import sys
from pathlib import Path

import pytest

from k2core.serving.process import ServerError, serving


def test_a_server_that_does_not_start_says_why_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nseq 30\necho 'no weights in it' >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    log = tmp_path / "scratch" / "server.log"
    with pytest.raises(ServerError) as failed, serving(tmp_path / "model", log):
        raise AssertionError("it started")
    first, *lines = str(failed.value).splitlines()
    assert first == f"vLLM did not start (code 3): the end of {log}:"
    assert lines == [*map(str, range(12, 31)), "no weights in it"]
    assert log.read_text().startswith("1\n2\n")
    assert capfd.readouterr() == ("", "")
