"""Rows that begin alike, computed once: all that they give is what they give one by one."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from k2core.engines.megatron.attention import Span
from k2core.engines.megatron.batch import PADDING, Batch
from k2core.engines.megatron.folding import GROUP, can_fold, cut_groups, fold_rows
from k2core.engines.megatron.trainer import Trainer
from k2core.optim.qk_clip import ClipEvent
from schemas.model import ModelShape
from schemas.optim import OptimConfig
from schemas.placement import Placement
from tests.k2core.engines.megatron.rank_checks import SHAPE, YARN, weigh


def batch_of(rows: Sequence[Sequence[int]], groups: Sequence[int], said: int = 1) -> Batch:
    """Rows of tokens, whose first `said` labels do not count; padded."""
    width = max(map(len, rows)) - 1
    tokens, labels = (torch.zeros(len(rows), width, dtype=torch.long) for _ in "tl")
    segments = torch.full((len(rows), width), PADDING)
    for index, row in enumerate(rows):
        tokens[index, : len(row) - 1] = torch.tensor(row[:-1])
        labels[index, : len(row) - 1] = torch.tensor(row[1:])
        segments[index, : len(row) - 1] = 0
    mask = (segments == 0) & (torch.arange(width) >= said)
    extra = {
        GROUP: torch.tensor(groups),
        "temperature": 0.7 + 0.1 * torch.arange(len(rows)),
        "weight": 1.0 + torch.arange(len(rows)),
    }
    return Batch(tokens, labels, mask.float(), segments, extra)


def samples() -> Batch:
    """Problems of many, of one and of three samples, which agree on one turn, on two, on all."""
    generator = torch.Generator().manual_seed(0)

    def draw(length: int) -> list[int]:
        return torch.randint(0, 300, (length,), generator=generator).tolist()

    prompt, turn, other = draw(140), draw(9), draw(30)
    first = [prompt + turn + draw(n) for n in (1, 5, 9)]
    rows = [*first, prompt + draw(12), prompt + turn, prompt + turn, other + draw(40)]
    rows += [other + draw(3), other + draw(20), other + draw(7)]
    return batch_of(rows, [0] * 6 + [1] + [2] * 3, said=20)


def without_groups(batch: Batch) -> Batch:
    return batch._replace(extra={n: t for n, t in batch.extra.items() if n != GROUP})


def test_what_rows_share_stands_once() -> None:
    rows = ([1, 2, 3, 4, 0], [1, 2, 5, 0], [1, 2, 3, 9, 9, 0], [1, 2, 3, 4, 0], [7, 0])
    found = fold_rows(batch_of(rows, [0] * 5), width=9)
    assert found.tokens.tolist() == [[1, 2, 3, 4, 9, 9, 5, 7, 0]]
    assert found.positions.tolist()[:8] == [0, 1, 2, 3, 3, 4, 2, 0]
    assert found.padding.tolist() == [[False] * 8 + [True]]
    assert found.copies.tolist() == [4, 4, 3, 2, 1, 1, 1, 1, 0]
    assert found.places.tolist()[2] == [0, 1, 2, 4, 5]
    assert [block.spans for block in found.blocks] == [
        (Span(0, 2),),
        (Span(0, 3),),
        (Span(0, 4),),
        (Span(0, 3), Span(4, 6)),
        (Span(0, 2), Span(6, 7)),
        (Span(7, 8),),
    ]
    ones = torch.ones(9, 1)
    assert found.sum_rows(ones).flatten().tolist() == [4, 3, 5, 4, 1]


def test_rows_without_a_token_have_no_branch() -> None:
    batch = batch_of([[1], [1, 2, 0], [3]], [0, 0, 1])
    assert cut_groups(batch, 2) == [range(3)]
    assert fold_rows(batch).members.tolist() == [[0, 0], [1, 0], [0, 0]]
    assert fold_rows(batch.select_rows(0, 1)).padding.tolist() == [[True]]


def test_rows_of_several_documents_are_refused() -> None:
    batch = batch_of([[1, 2, 3], [1, 2, 4]], [0, 0])
    batch.segments[1, 1] = 1
    with pytest.raises(ValueError, match="row 1 has several segments"):
        fold_rows(batch)


@pytest.mark.parametrize(
    ("groups", "rows", "cuts"),
    [
        ([], 4, []),
        # 20 shared and one of its own each: 23 tokens a group of three, 84 allowed
        ([5, 5, 5, 2, 2, 2, 1, 1, 1, 0, 0, 0], 4, [range(9), range(9, 12)]),
        ([5, 5, 5, 2], 4, [range(4)]),
        ([1] * 5 + [2], 2, [range(2), range(2, 4), range(4, 6)]),
        ([1, 2, 3], 1, [range(1), range(1, 2), range(2, 3)]),
    ],
)
def test_a_pass_has_the_tokens_of_so_many_rows_and_cuts_no_group_that_fits(
    groups: list[int], rows: int, cuts: list[range]
) -> None:
    rows_of = [[group] * 20 + [100 + index, 0] for index, group in enumerate(groups)]
    batch = batch_of(rows_of or [[1, 2]], groups or [0])
    assert cut_groups(batch.select_rows(0, len(groups)), rows) == cuts


def heads(trainer: Trainer) -> Tensor:
    cores = [layer.self_attention.core_attention for layer in trainer.model.decoder.layers]
    return torch.stack([core.current_max_attn_logits for core in cores])


@pytest.mark.parametrize("micro_batch", [1, 4, 8])
@pytest.mark.parametrize("shape", [SHAPE, YARN], ids=["plain", "yarn, balanced"])
def test_folded_rows_are_learned_from_as_one_by_one(shape: ModelShape, micro_batch: int) -> None:
    """Log p, loss, gradients, largest logits, and the loads that balance the router's bias."""
    placement = Placement(num_ranks=1, micro_batch=micro_batch)
    trainer, batch = Trainer(shape, OptimConfig(), seed=0, placement=placement), samples()
    counts, found = batch.loss_mask > 0, []
    for given in (batch, without_groups(batch)):
        logprobs = trainer.logprobs(given)[counts]
        sums = trainer.accumulate(given, weigh)
        named = trainer.optimizer.parameters.items()
        gradients = {n: p.grad.clone() for n, p in named if p.grad is not None}
        routers = [layer.mlp.router for layer in trainer.model.decoder.layers[1:]]
        loads = torch.stack([router.local_tokens_per_expert.clone() for router in routers])
        largest = heads(trainer)
        trainer.optimizer.zero_gradients()
        for router in routers:
            router.local_tokens_per_expert.zero_()
        for layer in trainer.model.decoder.layers:
            layer.self_attention.core_attention.current_max_attn_logits = None
        found.append((logprobs, sums, gradients, loads, largest))
    (ours, sums, gradients, loads, largest), (theirs, plain, expected, same, top) = found
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert sums.loss == pytest.approx(plain.loss, rel=1e-5)
    assert sums.tokens == plain.tokens
    assert sums.metrics == pytest.approx(plain.metrics)
    for name, gradient in expected.items():
        bound = 1e-5 * max(1.0, float(gradient.abs().max()))
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=bound)
    assert torch.equal(loads, same)
    torch.testing.assert_close(largest, top, rtol=0, atol=1e-5)


def test_a_step_is_the_same_to_the_bit_each_time() -> None:
    def course() -> tuple[list[list[ClipEvent]], dict[str, Tensor]]:
        trainer = Trainer(SHAPE, OptimConfig(qk_clip_tau=0.05), seed=0)
        clips = [trainer.step(samples(), 1e-3, weigh).clips for _ in range(2)]
        return clips, trainer.export_weights()

    (clips, first), (again, second) = course(), course()
    assert clips == again
    assert all(clips)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_layouts_that_do_not_fold_run_rows_one_by_one() -> None:
    trainer = Trainer(SHAPE, OptimConfig(), seed=0)
    layouts = {
        "dp": Placement(num_ranks=4),
        "pp, ep": Placement(num_ranks=4, pp=2, ep=2),
        "selective": Placement(num_ranks=1, recompute="selective", offload=True),
        "tp": Placement(num_ranks=2, tp=2),
        "cp": Placement(num_ranks=2, cp=2),
        "full": Placement(num_ranks=1, recompute="full"),
    }
    folds = {name: can_fold(placement, trainer.model) for name, placement in layouts.items()}
    assert [name for name, does in folds.items() if does] == ["dp", "pp, ep", "selective"]
    trainer.folds = False
    parts = trainer._cut(samples())
    assert all(part.folding is None for part in parts)
    assert sum(len(part.real.tokens) for part in parts) == len(samples().tokens)
