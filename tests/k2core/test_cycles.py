"""The search for cycles of references: off or rare where that is asked for, and then as before."""

import gc

import pytest

from k2core.cycles import no_search_for_cycles, search_rarely


def test_the_search_is_off_within_and_as_before_after() -> None:
    was = gc.isenabled()

    def fail() -> None:
        with no_search_for_cycles():
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.isenabled() == was


def test_a_rare_search_is_still_one() -> None:
    was = gc.get_threshold()
    try:
        search_rarely()
        assert gc.get_threshold()[0] == 100_000
    finally:
        gc.set_threshold(*was)
