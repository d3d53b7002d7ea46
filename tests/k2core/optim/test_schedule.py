import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.optim.schedule import learning_rate
from schemas.optim import Schedule


def test_warm_up_stable_decay() -> None:
    schedule = Schedule(num_steps=100, warmup_frac=0.1, decay_frac=0.3, final_lr_frac=0.1)
    rates = [learning_rate(step, 1.0, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:70] == [1.0] * 61
    assert rates[84] == pytest.approx(0.55)  # half-way down the cosine
    assert rates[99] == pytest.approx(0.1)


@given(st.integers(1, 300), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1))
def test_never_above_peak_nor_below_zero_and_decay_never_rises(
    num_steps: int, warmup: float, decay: float, final: float
) -> None:
    schedule = Schedule(
        num_steps=num_steps, warmup_frac=warmup, decay_frac=decay, final_lr_frac=final
    )
    rates = [learning_rate(step, 2.0, schedule) for step in range(num_steps)]
    assert all(0 <= rate <= 2.0 for rate in rates)
    falling = rates[round(num_steps * warmup) :]
    assert falling == sorted(falling, reverse=True)
