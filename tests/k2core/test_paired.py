"""Paired tests against scipy's, and pass@k by counting all subsets."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from k2core.paired import correct, pair, pass_at, pass_hat, sign_flip
from schemas.evaluate import Change


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (8, 1), (25, 7), (7, 17), (101, 64)])
def test_one_sample_a_problem_is_the_exact_mcnemar_test(won: int, lost: int) -> None:
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert sign_flip([1] * won + [-1] * lost + [0] * 5) == pytest.approx(expected, rel=1e-12)


def test_what_is_counted() -> None:
    before = {"a": [True, False], "b": [True, True], "c": [False], "only here": [True]}
    after = {"a": [True, True], "b": [False, False], "c": [False, True], "only there": [True]}
    found = pair(before, after)
    assert (found.gained, found.lost, found.total) == (1, 2, 5)
    assert found.p_value == 1.0  # |-2 + 1| or more: 1 and 3, every sign
    assert pair({}, {}).p_value == 1.0


def test_holms_correction() -> None:
    ps = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    changes = {n: Change(gained=1, lost=0, total=1, p_value=p) for n, p in ps.items()}
    found = {name: change.p_corrected for name, change in correct(changes).items()}
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=6), min_size=1, max_size=4))
def test_pass_at_k_counts_subsets(samples: list[list[bool]]) -> None:
    passed = {str(n): found for n, found in enumerate(samples)}
    for k in (1, 2, 4):
        drawn = [list(combinations(found, k)) for found in samples]
        any_of = sum(sum(map(any, sets)) / len(sets) for sets in drawn) / len(drawn)
        all_of = sum(sum(map(all, sets)) / len(sets) for sets in drawn) / len(drawn)
        assert pass_at(passed, k) == pytest.approx(any_of)
        assert pass_hat(passed, k) == pytest.approx(all_of)
