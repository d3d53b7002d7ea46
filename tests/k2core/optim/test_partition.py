from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from k2core.optim.partition import Atom, cut_between, cut_flat, newton_schulz_cost


@given(st.integers(1, 10_000), st.integers(1, 9))
def test_flat_parts_are_equal_and_cover_all(size: int, num_parts: int) -> None:
    cuts = cut_flat(size, num_parts)
    assert (cuts[0], cuts[-1], len(cuts)) == (0, size, num_parts + 1)
    assert cuts == sorted(cuts)
    assert max(b - a for a, b in pairwise(cuts)) == -(-size // num_parts)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 6))
def test_parts_between_matrices_cut_none_and_balance(sizes: list[int], num_parts: int) -> None:
    atoms = [Atom(size, size * size) for size in sizes]
    cuts = cut_between(atoms, num_parts)
    ends = {sum(sizes[:index]) for index in range(len(sizes) + 1)}
    assert set(cuts) <= ends
    assert cuts == sorted(cuts)
    assert (cuts[0], cuts[-1], len(cuts)) == (0, sum(sizes), num_parts + 1)
    costs = [0] * num_parts
    start = 0
    for atom in atoms:
        rank = max(r for r in range(num_parts) if cuts[r] <= start and cuts[r + 1] > start)
        costs[rank] += atom.cost
        start += atom.size
    dearest = max(atom.cost for atom in atoms)
    assert max(costs) <= sum(costs) / num_parts + dearest


def test_a_transposed_matrix_costs_the_same() -> None:
    assert newton_schulz_cost(4, 6) == newton_schulz_cost(6, 4) == 16 * 16
