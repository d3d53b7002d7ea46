"""What a rank says of the others when a collective breaks off."""

import socket

import pytest
from torch._C._distributed_c10d import HashStore

from k2core.engines.torchrun import peers
from k2core.engines.torchrun.peers import PeerError, Peers, is_broken_collective

HOST = socket.gethostname()
CLOSED = RuntimeError("[gloo/transport/tcp/pair.cc:537] Connection closed by peer [10.0.0.2]:1")


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> tuple[Peers, Peers]:
    monkeypatch.setattr(peers, "_BEAT_S", 0.05)
    monkeypatch.setattr(peers, "_SILENT_BEATS", 40)
    store = HashStore()
    return Peers(store, 0, 2), Peers(store, 1, 2)


def test_an_error_of_another_rank_is_told_with_its_traceback(both: tuple[Peers, Peers]) -> None:
    here, there = both
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    there.tell(caught.value)
    said = str(here.explain(CLOSED))
    assert f"rank 0 on {HOST} waited in vain for others: rank 1 on {HOST} failed:" in said
    assert "Traceback" in said
    assert "ZeroDivisionError: division by zero" in said


def test_a_rank_without_a_beat_is_named_and_one_with_a_beat_is_not(
    both: tuple[Peers, Peers],
) -> None:
    here, there = both
    assert "all of them are alive" in str(here.explain(CLOSED))
    there.close()
    said = str(here.explain(CLOSED))
    assert f"no sign of life from rank 1 on {HOST}" in said
    assert "Connection closed by peer" in said


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (CLOSED, True),
        (RuntimeError("[gloo/transport/tcp/unbound_buffer.cc:88] Timed out waiting 3000ms"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("gloo/ is no folder"), False),
    ],
)
def test_only_a_collective_that_breaks_off_is_laid_at_others_doors(
    error: Exception, broken: bool
) -> None:
    assert is_broken_collective(error) == broken
    assert not is_broken_collective(PeerError("told already"))
