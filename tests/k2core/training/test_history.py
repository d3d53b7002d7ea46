from k2core.engines.megatron.batch import StepStats
from k2core.optim.qk_clip import ClipEvent
from k2core.training import StepLog
from k2core.training.clips import clipped_shares


def make_history(num_steps: int) -> StepLog:
    history = StepLog()
    for step in range(num_steps):
        clips = [ClipEvent(0, 1, 8.0, 0.5)] if step == 2 else []
        history.add(StepStats(1 / (step + 3), 0.1, [float(step), -1.0], clips, 100, {}))
    return history


def test_history_comes_back_bit_for_bit() -> None:
    history = make_history(7)
    assert StepLog.from_json(history.to_json().encode()) == history
    assert history.clips == [{"step": 3, "layer": 0, "head": 1, "max_logit": 8.0, "factor": 0.5}]


def test_summary_is_coarse_and_complete() -> None:
    summary = make_history(7).summarize(num_points=3)
    assert summary["steps_per_point"] == 3
    assert summary["tokens"] == 700
    assert summary["losses"] == [
        round((1 / 3 + 1 / 4 + 1 / 5) / 3, 6),
        round((1 / 6 + 1 / 7 + 1 / 8) / 3, 6),
        round(1 / 9, 6),
    ]
    assert summary["max_logits"] == [2.0, 5.0, 6.0]


def test_shares_of_heads_now_and_ever() -> None:
    history = make_history(4)
    history.clips += [
        {"step": 3, "layer": 1, "head": 0, "max_logit": 9.0, "factor": 0.4},
        {"step": 4, "layer": 0, "head": 1, "max_logit": 9.0, "factor": 0.4},
    ]
    shares = clipped_shares(history, num_heads=4)
    assert shares.now == [0, 0, 0.5, 0.25]
    assert shares.ever == [0, 0, 0.5, 0.5]
