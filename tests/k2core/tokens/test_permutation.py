"""Orders by index: each element once, any order as likely as another, both ways."""

from collections import Counter
from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from k2core.tokens import Deal, Permutation


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 700), seed=st.integers(0, 2**40))
@example(size=1, seed=0)
@example(size=2, seed=0)
@example(size=3, seed=0)
@example(size=509, seed=1)
@example(size=512, seed=1)
def test_each_element_comes_once_and_knows_its_place(size: int, seed: int) -> None:
    order = Permutation(size, (seed, "windows"))
    found = [order[place] for place in range(size)]
    assert sorted(found) == list(range(size))
    assert [order.place(element) for element in range(size)] == [
        found.index(element) for element in range(size)
    ]


@settings(deadline=None, max_examples=100)
@given(place=st.integers(0, 2**40 - 1), seed=st.integers(0, 9))
def test_a_trillion_elements_are_permuted_without_being_laid_out(place: int, seed: int) -> None:
    order = Permutation(2**40, (seed,))
    assert 0 <= order[place] < 2**40
    assert order.place(order[place]) == place


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_every_order_of_a_few_is_as_likely(size: int) -> None:
    """Chi-square of the orders over seeds, within four deviations of its mean."""
    draws, kinds = 3000, factorial(size)
    seen = Counter(
        tuple(map(Permutation(size, (seed,)).__getitem__, range(size))) for seed in range(draws)
    )
    assert set(seen) <= set(permutations(range(size)))
    expected = draws / kinds
    chi = sum((seen[order] - expected) ** 2 / expected for order in permutations(range(size)))
    assert abs(chi - (kinds - 1)) < 4 * (2 * (kinds - 1)) ** 0.5


@pytest.mark.parametrize("size", [997, 1024, 2**40])
def test_neighbours_land_anywhere_whatever_the_size(size: int) -> None:
    """Where the first elements land, their steps, and what another key does: all uniform."""
    first = np.array([Permutation(size, (seed,))[0] for seed in range(400)]) / size
    order, other = Permutation(size, (1,)), Permutation(size, (2,))
    row = np.array([order[place] for place in range(900)]) / size
    elsewhere = np.array([other[place] for place in range(900)]) / size
    for sample in (first, row, np.diff(row) % 1, (row - elsewhere) % 1):
        counts = np.histogram(sample, bins=10, range=(0, 1))[0]
        expected = len(sample) / 10
        chi = ((counts - expected) ** 2 / expected).sum()
        assert chi < 9 + 5 * 18**0.5
    assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 4 / 900**0.5
    assert abs(np.corrcoef(row, np.arange(900))[0, 1]) < 4 / 900**0.5


def test_what_lies_outside_is_refused() -> None:
    with pytest.raises(IndexError, match="5 of a permutation of 5"):
        Permutation(5, (0,))[5]
    with pytest.raises(IndexError, match="0 of a permutation of 0"):
        Permutation(0, (0,))[0]
    with pytest.raises(IndexError, match="-1 of a permutation of 3"):
        Permutation(3, (0,)).place(-1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_a_deal_is_sorted_by_shares_of_the_way(sizes: list[int]) -> None:
    deal = Deal(sizes)
    places = [((2 * j + 1) / (2 * n), part, j) for part, n in enumerate(sizes) for j in range(n)]
    found = [deal[index] for index in range(deal.size)]
    assert [deal.index(*dealt) for dealt in found] == list(range(deal.size))
    assert [tuple(dealt) for dealt in found] == [(part, j) for _, part, j in sorted(places)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 2**33), min_size=1, max_size=6).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_a_deal_of_billions_keeps_the_mixture(sizes: list[int], way: float) -> None:
    deal = Deal(sizes)
    index = int(way * deal.size)
    part, place = deal[index]
    assert deal.index(part, place) == index
    assert abs(place - index * sizes[part] / deal.size) <= len(sizes)
