from hypothesis import given
from hypothesis import strategies as st

from k2core.release.parity import round_up


@given(st.floats(1e-12, 1.0))
def test_the_difference_is_never_understated(difference: float) -> None:
    assert difference <= round_up(difference) <= 2 * difference
    assert round_up(round_up(difference)) == round_up(difference)


def test_one_digit_is_kept() -> None:
    found = [round_up(d) for d in (0.0, 1e-5, 1.4e-5, 9.6e-6, 3.01e-7)]
    assert found == [0.0, 1e-5, 2e-5, 1e-5, 4e-7]
