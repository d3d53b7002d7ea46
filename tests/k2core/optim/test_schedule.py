import pytest
from hypothesis import given
from hypothesis import strategies as st

from k2core.optim.schedule import learning_rate, phase_rate
from schemas.optim import Schedule
from schemas.pretrain import Phase


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


@pytest.mark.parametrize(("decay", "half"), [("linear", 0.6), ("cosine", 0.6)])
def test_a_phase_goes_from_its_rate_to_its_end(decay: str, half: float) -> None:
    down = Phase.model_validate(
        {"name": "a", "num_steps": 10, "lr": 1.0, "final_lr": 0.2, "decay": decay}
    )
    rates = [phase_rate(step, 10, down) for step in range(10)]
    assert rates[4] == pytest.approx(half)
    assert rates[9] == pytest.approx(0.2)
    assert rates == sorted(rates, reverse=True)
    up = down.model_copy(update={"lr": 0.0001, "final_lr": 1.0})  # a warm-up
    assert [phase_rate(step, 10, up) for step in (0, 9)] == pytest.approx(
        [0.1, 1.0] if decay == "linear" else [0.0245, 1.0], rel=1e-2
    )
