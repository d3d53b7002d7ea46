"""Which bucket a tensor is in: each byte once, no window too large, and no ring of ranks."""

import random
from itertools import pairwise

import pytest
import torch

from k2core.engines.wire import plan_buckets

SHAPES: dict[str, tuple[int, ...]] = {
    **{f"layers.{n}.experts.{e}.w": (6, 5) for n in range(3) for e in range(4)},
    "gate.e_score_correction_bias": (7,),
    "norm": (),
    "head": (50, 9),
}
ORDER = {name: place for place, name in enumerate(SHAPES)}


def drawn_owners(seed: int, ranks: int) -> dict[str, int]:
    rng = random.Random(seed)
    return {name: rng.randrange(ranks) for name in SHAPES}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("window_bytes", [1, 300, 10**6])
@pytest.mark.parametrize("ranks", [1, 3])
def test_each_tensor_is_in_one_bucket_of_its_owner(
    dtype: torch.dtype, window_bytes: int, ranks: int
) -> None:
    owners = drawn_owners(0, ranks)
    plan = plan_buckets(SHAPES, owners, dtype, window_bytes)
    assert sorted(n for bucket in plan for n in bucket.names) == sorted(SHAPES)
    for bucket in plan:
        assert {owners[name] for name in bucket.names} == {bucket.owner}
        views = dict(bucket.views(torch.zeros(bucket.nbytes, dtype=torch.uint8)))
        assert {name: tuple(view.shape) for name, view in views.items()} == {
            name: SHAPES[name] for name in bucket.names
        }
        for name, view in views.items():
            exact = name.endswith("e_score_correction_bias")
            assert view.dtype == (torch.float32 if exact else dtype)
        size = sum(view.nbytes for view in views.values())
        assert size <= bucket.nbytes < size + 16 * len(views)
        assert size <= window_bytes or len(views) == 1


def test_buckets_come_in_the_order_in_which_they_are_full() -> None:
    """Then nobody who gathers a tensor's slices is held up by a bucket that is taken later."""
    for seed in range(20):
        plan = plan_buckets(SHAPES, drawn_owners(seed, 3), torch.float32, 500)
        ends = [ORDER[bucket.names[-1]] for bucket in plan]
        assert ends == sorted(ends)
        for bucket in plan:
            assert all(ORDER[one] < ORDER[next_] for one, next_ in pairwise(bucket.names))


def test_views_are_tensors_of_the_bucket() -> None:
    (bucket,) = plan_buckets(SHAPES, dict.fromkeys(SHAPES, 0), torch.bfloat16, 10**9)
    data = torch.zeros(bucket.nbytes, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    wanted = {name: torch.randn(size, generator=generator) for name, size in SHAPES.items()}
    for name, view in bucket.views(data):
        view.copy_(wanted[name])
    for name, view in bucket.views(data.clone()):
        assert torch.equal(view, wanted[name].to(view.dtype))
    assert str(bucket) == "layers.0.experts.0.w and 14 more of the trainer's rank 0"
