"""Which bundles a trainer and its engines ask for, and whose GPU each is."""

from typing import NamedTuple

import pytest

from k2core.engines.ray.ranks import RankHome, describe_ranks
from k2core.engines.ray.resources import Accelerators, Grant
from k2core.engines.ray.room import Bundles, order_by_node, plan_bundles
from schemas.placement import Placement, Serving

CORE, GPU, SHARED = {"CPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}
NODE = Accelerators(8, 8, 88)
NODES = Accelerators(32, 8, 352)


class Case(NamedTuple):
    """A placement on a cluster."""

    placement: Placement
    cluster: Accelerators
    wanted: Bundles


def placed(num_ranks: int, **serving: object) -> Placement:
    return Placement(num_ranks=num_ranks, serving=Serving.model_validate(serving))


CASES = {
    "cores": Case(
        placed(2, num_engines=2),
        Accelerators(0, 0, 4),
        Bundles([CORE] * 4, 2, [[2], [3]], Grant(gpu=False, one_node=True), shared=False),
    ),
    "cores share an engine": Case(
        placed(1, num_engines=1, tp=2),
        Accelerators(0, 0, 4),
        Bundles([CORE, {"CPU": 2.0}], 1, [[1]], Grant(gpu=False, one_node=True), shared=False),
    ),
    "GPUs apart": Case(
        placed(4, num_engines=2, tp=2),
        NODE,
        Bundles(
            [GPU] * 4 + [{"CPU": 2.0, "GPU": 2.0}] * 2,
            4,
            [[4], [5]],
            Grant(gpu=True, one_node=True),
            shared=False,
        ),
    ),
    "an engine over nodes": Case(
        placed(8, num_engines=1, tp=8, pp=2),
        NODES,
        Bundles(
            [GPU] * 8 + [SHARED] + [GPU] * 15,
            8,
            [list(range(8, 24))],
            Grant(gpu=True, one_node=False),
            shared=False,
        ),
    ),
    "asleep on the trainer's": Case(
        placed(8, num_engines=8, sleep=True),
        NODE,
        Bundles([SHARED] * 8, 8, [[n] for n in range(8)], Grant(gpu=True, one_node=True), True),
    ),
    "asleep, four GPUs an engine": Case(
        placed(8, num_engines=2, tp=4, sleep=True),
        NODE,
        Bundles(
            [SHARED] * 8,
            8,
            [[0, 1, 2, 3], [4, 5, 6, 7]],
            Grant(gpu=True, one_node=False),
            shared=True,
        ),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_rank_and_engine_has_its_bundles(case: Case) -> None:
    assert plan_bundles(case.placement, case.cluster) == case.wanted


@pytest.mark.parametrize(
    ("placement", "cluster", "said"),
    [
        (
            placed(2, num_engines=2),
            Accelerators(0, 0, 3),
            "2 engines of 1 need 4 CPU cores, .* has 3",
        ),
        (placed(8, num_engines=1), NODE, r"need 9 GPUs, .* has 8: .* or set placement\.serving\.s"),
        (
            placed(16, sleep=True),
            NODE,
            r"need 16 GPUs, .* lower placement\.num_ranks or .*engines$",
        ),
        (placed(4, num_engines=8, sleep=True), NODE, "puts 8 of the engines' GPUs on .*'s 4"),
        (Placement(num_ranks=1, gpu="h100"), Accelerators(0, 0, 64), "need 3 GPUs, .* has 0"),
    ],
    ids=["cores", "GPUs", "asleep", "more engines than ranks", "no GPU has joined yet"],
)
def test_what_has_no_room_is_refused(
    placement: Placement, cluster: Accelerators, said: str
) -> None:
    with pytest.raises(RuntimeError, match=said):
        plan_bundles(placement, cluster)


def test_ranks_of_a_machine_are_neighbours_and_know_their_place() -> None:
    order = order_by_node(4, {0: "a", 1: "b", 2: "a", 3: "b", 4: "a"})
    assert order == [0, 2, 1, 3]
    met = [RankHome(node, f"host-{node}", f"10.0.0.{n}", 7 + n) for n, node in enumerate("aabb")]
    said = describe_ranks(met)
    assert [one["LOCAL_RANK"] for one in said] == ["0", "1", "0", "1"]
    assert {one["MASTER_ADDR"] + ":" + one["MASTER_PORT"] for one in said} == {"10.0.0.0:7"}
    assert {one["WORLD_SIZE"] + one["LOCAL_WORLD_SIZE"] for one in said} == {"42"}
