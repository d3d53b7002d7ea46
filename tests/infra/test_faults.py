"""What disks and servers refuse is one message: where, and what to do."""

import errno
import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from typer import Exit

from infra.faults import describe_fault, is_away
from infra.outbox import Outbox
from schemas.errors import InputsError, NoRoomError, room_for
from tasks.failures import StageFailedError, told
from workflows.exits import plain_errors

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/store/objects/a")
SQLITE = sqlite3.OperationalError("database or disk is full")
AWAY = MlflowException("API request to http://mlflow:5000/api/2.0 failed with exception refused")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def unwritten() -> Exception:
    with pytest.raises(NoRoomError) as failed, room_for("/data/store/manifests/a.json", 4321):
        raise OSError(errno.ENOSPC, "No space left on device")
    return failed.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FULL, ["no room is left for /data/store/objects/a", "bytes are free", "Make room"]),
        (unwritten(), ["/data/store/manifests/a.json: it takes 4,321 bytes"]),
        (caused(RuntimeError("a shard"), unwritten()), ["a.json: it takes 4,321 bytes"]),
        (SQLITE, ["no room is left for"]),
        (caused(MlflowException("(sqlite3.OperationalError) ?"), SQLITE), ["no room is left for"]),
        (RuntimeError("rank 1: OSError: [Errno 28] No space left on device: '/x/y'"), ["for /x/y"]),
        (
            OSError(errno.EROFS, "Read-only file system", "/home/keys"),
            ["/home/keys cannot be written", "set K2_HOME"],
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), ["/root/x cannot be"]),
        (sqlite3.OperationalError("attempt to write a readonly database"), ["cannot be written"]),
        (AWAY, ["MLflow does not answer at", "start it, or unset MLFLOW_TRACKING_URI"]),
    ],
)
def test_what_a_machine_refuses_is_told_with_its_place(error: Exception, words: list[str]) -> None:
    message = describe_fault(error)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize(
    "error", [ValueError("3 is not 4"), FileNotFoundError(2, "No such file", "a"), KeyError("b")]
)
def test_an_error_of_the_code_is_none_of_the_machine(error: Exception) -> None:
    assert describe_fault(error) == ""
    assert not is_away(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputsError("no document is left"), "clean: no document is left"),
        (FULL, "clean: no room is left for /data/store/objects/a"),
        (ZeroDivisionError("by nothing"), "clean: ZeroDivisionError: by nothing\nWhat was done"),
        (
            RuntimeError("rank 1 failed:\nTraceback (most recent call last):\n  in x\nKeyError: 3"),
            "clean: RuntimeError: rank 1 failed: KeyError: 3\nWhat was done is kept",
        ),
    ],
)
def test_a_stage_that_fails_says_its_name_and_what_to_do(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from flyte.errors import RuntimeUserError

    def failing() -> StageFailedError:
        with pytest.raises(StageFailedError) as failed, told("clean"):
            raise error
        return failed.value

    handed_on = RuntimeUserError("StageFailedError", str(failing()))  # as Flyte does
    assert capsys.readouterr().err == ""
    with pytest.raises(Exit), plain_errors():
        raise handed_on
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {said}")
    assert "Traceback" not in shown
    monkeypatch.setenv("K2_DEBUG", "1")
    failing()
    assert "Traceback" in capsys.readouterr().err


def test_what_is_neither_kept_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), plain_errors():
        raise ZeroDivisionError


def test_an_outbox_sends_in_order_and_waits_for_a_server_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("K2_HOME", str(tmp_path))
    monkeypatch.setattr("infra.outbox._PAUSE", 0.001)
    sent: list[int] = []
    faults = [AWAY, AWAY]

    def call() -> None:
        if faults:
            raise faults.pop()
        sent.append(1)

    box = Outbox()
    box.post(call)
    box.post(lambda: sent.append(2))
    box.close()
    assert sent == [1, 2]

    broken = Outbox()
    broken.post(lambda: 1 / 0)
    broken.post(lambda: sent.append(3))
    with pytest.raises(ZeroDivisionError):
        broken.close()
    assert sent == [1, 2]

    waiting = Outbox()
    faults += [AWAY] * 100_000
    waiting.post(call)
    with pytest.raises(OSError, match=r"did not answer at sqlite.* for 0 seconds: start it"):
        waiting.close(patience=0.05)
    faults.clear()
