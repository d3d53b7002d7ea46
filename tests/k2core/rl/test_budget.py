"""Budgets learned, length paid for, and a step that is not spent in vain, by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from k2core.rl.budget import (
    TruncationError,
    check_truncation,
    learned_budgets,
    length_weight,
    with_budgets,
)
from k2core.rl.lengths import length_rewards
from k2core.rl.loop import run_iterations
from k2core.rl.priority import SeenProblem, Successes
from k2core.rl.samples import Sample
from schemas.chat import Problem
from schemas.rl import RlConfig
from tests.k2core.rl.test_loop import CONFIG, POOL, ToyEngine, practice, workspace

EVEN, ODD = POOL[0], POOL[1]


def test_length_rewards_by_hand() -> None:
    """lambda is 0.5, 0, -0.5 for the shortest, the middle, the longest."""
    assert length_rewards([10, 20, 30], [True] * 3, 0.2) == pytest.approx([0.1, 0.0, -0.1])
    # one that did not pass earns nothing for being short, and still pays for being long
    assert length_rewards([10, 20, 30], [False] * 3, 0.2) == pytest.approx([0.0, 0.0, -0.1])
    assert length_rewards([7, 7], [True, False], 0.2) == [0.0, 0.0]


def test_length_is_free_in_the_first_phase() -> None:
    config = RlConfig(length_weight=0.1, length_after=3)
    assert [length_weight(config, index) for index in (0, 2, 3, 9)] == [0.0, 0.0, 0.1, 0.1]


def test_a_budget_is_what_passed_samples_needed() -> None:
    """Of 40 lengths the 90 % quantile is the 36th: 36 tokens, times 1.25."""
    seen = Successes().add(
        [SeenProblem(EVEN, [1.0] * 40, (), range(1, 41)), SeenProblem(ODD, [1.0] * 8, (), [3] * 8)]
    )
    config = RlConfig(budget_quantile=0.9, length_after=2)
    assert learned_budgets(seen, config, 1) == {}
    budgets = learned_budgets(seen, config, 2)
    assert budgets == {"even": 45}
    longer = EVEN.model_copy(update={"max_tokens": 99})
    assert [p.max_tokens for p in with_budgets([longer, EVEN, ODD], budgets)] == [
        45,
        min(45, EVEN.max_tokens),
        ODD.max_tokens,
    ]
    assert learned_budgets(seen, RlConfig(), 9) == {}


def test_what_would_be_cut_off_is_known_before() -> None:
    """Of 40 samples of a family 30 were cut off, of the other's none: half of each, 37.5 %."""
    cut = [True] * 30 + [False] * 10
    seen = Successes().add(
        [SeenProblem(EVEN, [0.0] * 40, cut), SeenProblem(ODD, [0.0] * 40, [False] * 40)]
    )
    assert check_truncation([EVEN, ODD], seen, {}, 1.0) == pytest.approx(0.375)
    assert check_truncation([ODD], seen, {}, 0.1) == 0.0
    assert check_truncation([EVEN], Successes(), {}, 0.1) == 0.0
    with pytest.raises(TruncationError, match=r"38% of the next step.*even 75%.*rl\.token_budgets"):
        check_truncation([EVEN, ODD], seen, {}, 0.3)
    # The last 256 samples count: what was mended long ago is forgotten.
    mended = seen.add([SeenProblem(EVEN, [0.0] * 256, [False] * 256)])
    assert check_truncation([EVEN], mended, {}, 0.1) == 0.0


def test_a_tighter_budget_is_foreseen() -> None:
    """Nothing was cut off so far; a quarter of what passed took more than the new budget."""
    seen = Successes().add([SeenProblem(EVEN, [1.0] * 40, [False] * 40, [5] * 30 + [50] * 10)])
    assert check_truncation([EVEN], seen, {"even": 20}, 1.0) == pytest.approx(0.25)


def test_the_step_is_not_spent_and_a_higher_limit_goes_on(tmp_path: Path) -> None:
    """All answers are cut off; four iterations are known to be too few to predict anything."""

    class Verbose(ToyEngine):
        def play(
            self, problems: Sequence[Problem], seeds: Sequence[int], temperature: float
        ) -> list[Sample]:
            return [
                sample._replace(dialogue=sample.dialogue._replace(stop_reason="token_budget"))
                for sample in super().play(problems, seeds, temperature)
            ]

    strict = CONFIG.model_copy(update={"max_truncated_frac": 0.5, "validation_every": 0})
    engine, at = Verbose(), workspace(tmp_path / "strict")
    with pytest.raises(TruncationError, match="100% of the next step"):
        run_iterations(practice(engine, strict), at)
    done = engine.calls
    assert 1 <= done < CONFIG.num_iterations
    with pytest.raises(TruncationError):
        run_iterations(practice(engine, strict), at)
    assert engine.calls == done
    lenient = strict.model_copy(update={"max_truncated_frac": 1.0})
    again, whole = Verbose(), Verbose()
    history = run_iterations(practice(again, lenient), workspace(tmp_path / "strict", "lenient"))
    assert again.calls == CONFIG.num_iterations - done
    assert history == run_iterations(practice(whole, lenient), workspace(tmp_path / "whole"))
    assert history.iterations[-1].predicted_truncated_frac == 1.0


def test_a_run_with_learned_budgets_and_paid_length_resumes_alike(tmp_path: Path) -> None:
    update = {"budget_quantile": 0.9, "length_weight": 0.1, "length_after": 2}
    config = CONFIG.model_copy(update=update)
    whole = run_iterations(practice(ToyEngine(), config), workspace(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_iterations(practice(ToyEngine(fail_at=6), config), workspace(tmp_path / "killed"))
    assert run_iterations(practice(ToyEngine(), config), workspace(tmp_path / "killed")) == whole


@pytest.mark.parametrize("wrong", [{"budget_quantile": 0.0}, {"max_truncated_frac": 1.5}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RlConfig.model_validate(wrong)
