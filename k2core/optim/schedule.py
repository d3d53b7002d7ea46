"""The learning rate over steps: warm-up, stable, decay (arXiv:2507.20534, section 2.5)."""

import math

from schemas.optim import Schedule
from schemas.pretrain import Phase


def learning_rate(step: int, peak: float, schedule: Schedule) -> float:
    """The rate at `step`, counted from 0: linear rise, constant, cosine to the final share."""
    warmup = round(schedule.num_steps * schedule.warmup_frac)
    decay = round(schedule.num_steps * schedule.decay_frac)
    if step < warmup:
        return peak * (step + 1) / warmup
    stable_end = schedule.num_steps - decay
    if step < stable_end:
        return peak
    done = min(1.0, (step - stable_end + 1) / decay) if decay else 0.0
    share = 0.5 * (1 + math.cos(math.pi * done))
    return peak * (schedule.final_lr_frac + (1 - schedule.final_lr_frac) * share)


def phase_rate(step: int, num_steps: int, phase: Phase) -> float:
    """The rate at `step` of a phase, counted from 0; the last step has `final_lr`."""
    done = (step + 1) / num_steps
    left = 1 - done if phase.decay == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return phase.final_lr + (phase.lr - phase.final_lr) * left
