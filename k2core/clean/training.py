"""Train the quality classifier on a sample of the raw corpus, and measure it on the rest of that.

Labels come from the corpus itself: what the config calls the reference, of which the other rules
keep a part, against raw text and what they drop.
"""

import functools
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from k2core.clean.batch import TextBatch
from k2core.clean.checks import Floats
from k2core.clean.classifier import Features, Scorer, list_features
from k2core.clean.contamination import HeldOutRuns
from k2core.clean.draws import draw
from k2core.clean.judge import judge
from k2core.clean.rows import document_rows
from k2core.pieces import Crew, Piece
from k2core.reporting import Reporter
from k2core.store import StoredFile, Workspace
from k2core.tables import read_shard
from schemas.clean import CleanConfig
from schemas.corpus import Document, DocumentRow
from schemas.selection import Classifier

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_SCALE = 10.0
"""Features are means of this, not of 1: at it plain SGD takes steps of the right size."""
_REJECTED = "rejected"
_COUNTS, _SAMPLE = "counts.json", "sample.pickle"


class LabelledTexts(NamedTuple):
    """Documents with their features, N of them."""

    doc_ids: list[str]
    draw_N: Floats
    """By the text: equal texts are on one side of the split."""
    label_N: NDArray[np.int64]
    """1 reference, 0 raw, -1 neither."""
    scored_N: NDArray[np.bool_]
    """Of a domain that is scored, and dropped by no other rule."""
    features: Features


class ClassifierWeights(NamedTuple):
    """What training finds."""

    weights_F: NDArray[np.float32]
    """One for each bucket."""
    bias: float


def fit_scorer(
    config: CleanConfig,
    held_out: HeldOutRuns,
    shards: Sequence[StoredFile],
    crew: Crew,
    workspace: Workspace,
) -> Scorer | None:
    """The config's classifier, none if it has none; a resumed run finds it in the scratch folder.

    It lies in `quality/` of the clean corpus, with the held-out documents' scores.

    Raises:
        ValueError: a class has too few documents to train and to measure on.
    """
    rules = config.classifier
    if rules is None:
        return None
    kept = workspace.scratch / "quality"
    if not kept.exists():
        aside = workspace.scratch / "quality.aside"
        shutil.rmtree(aside, ignore_errors=True)
        sample = _collect(config, rules, held_out, shards, crew, workspace.scratch)
        _train(rules, sample, aside)
        aside.rename(kept)
    scorer = Scorer.load(Path(shutil.copytree(kept, workspace.out / "quality")))
    show_scorer(scorer, pl.read_parquet(kept / "heldout.parquet"), workspace.report)
    return scorer


def _collect(
    config: CleanConfig,
    rules: Classifier,
    held_out: HeldOutRuns,
    shards: Sequence[StoredFile],
    crew: Crew,
    scratch: Path,
) -> LabelledTexts:
    """Judge a sample of the documents by all other rules, shard by shard."""
    pieces = [Piece((shard,)) for shard in shards]
    counts: Counter[str] = Counter()
    for made in crew.make(functools.partial(_count_shard, rules), pieces, scratch / "classes"):
        counts.update(json.loads(made.open(_COUNTS).read_text()))
    shares = {name: rules.max_documents / count for name, count in counts.items() if name}
    work = functools.partial(_sample_shard, config, rules, held_out, shares)
    made_samples = crew.make(work, pieces, scratch / "sample")
    found = [pickle.loads(made.open(_SAMPLE).read_bytes()) for made in made_samples]
    parts: list[LabelledTexts] = [part for part in found if part is not None]
    if not parts:
        raise ValueError(f"classifier: no document is of {rules.positives} or {rules.negatives}")
    return _join(parts)


def _count_shard(rules: Classifier, files: Sequence[Path], _told: None, folder: Path) -> None:
    """Write how many documents of a shard are of each class."""
    names = pl.read_parquet(files[0], columns=["domain", "source"])
    counts: Counter[str] = Counter()
    for domain, source, count in names.group_by("domain", "source").len().iter_rows():
        counts[_class_of(rules, domain, source)] += count
    (folder / _COUNTS).write_text(json.dumps(counts))


def _sample_shard(
    config: CleanConfig,
    rules: Classifier,
    held_out: HeldOutRuns,
    shares: Mapping[str, float],
    files: Sequence[Path],
    _told: None,
    folder: Path,
) -> None:
    """Write what a shard gives to the sample."""
    excluded, part = frozenset(config.exclude), None
    rows = [
        row
        for row in document_rows(read_shard(files[0], Document))
        if row["doc_id"] not in excluded
        and draw(rules.seed, "classifier", row["doc_id"])
        < shares.get(_class_of(rules, row["domain"], row["source"]), 0)
    ]
    if rows:
        judged = list(judge(rows, config, held_out))
        dropped_N = np.array([found.dropped for found in judged], bool)
        part = _describe(rules, rows, [found.text for found in judged], dropped_N)
    (folder / _SAMPLE).write_bytes(pickle.dumps(part))


def _class_of(rules: Classifier, *names: str) -> str:
    """Of a document's domain and source."""
    if set(names) & set(rules.positives):
        return "positive"
    return "negative" if set(names) & {*rules.negatives, *rules.domains} else ""


def _describe(
    rules: Classifier,
    rows: Sequence[DocumentRow],
    texts: Sequence[str],
    dropped_N: NDArray[np.bool_],
) -> LabelledTexts:
    names = [(row["domain"], row["source"]) for row in rows]
    reference_N = np.array([_class_of(rules, *each) == "positive" for each in names], bool)
    raw_N = np.array([bool(set(each) & set(rules.negatives)) for each in names], bool)
    if _REJECTED in rules.negatives:
        raw_N |= dropped_N
    label_N = np.where(reference_N & ~dropped_N, 1, np.where(raw_N, 0, -1))
    scored_N = np.array([row["domain"] in rules.domains for row in rows], bool)
    draws = [draw(rules.seed, "held out", text) for text in texts]
    # A text without words says nothing of either class.
    label_N[np.array([not text.strip() for text in texts], bool)] = -1
    features = list_features(TextBatch(pl.Series(texts, dtype=pl.String)), rules.num_buckets)
    return LabelledTexts(
        [row["doc_id"] for row in rows], np.array(draws), label_N, scored_N & ~dropped_N, features
    )


def _join(parts: Sequence[LabelledTexts]) -> LabelledTexts:
    sizes = np.cumsum([0, *(len(part.doc_ids) for part in parts)])
    rows = list(zip(parts, sizes, strict=False))
    document_X = np.concatenate([part.features.document_X + start for part, start in rows])
    bucket_X = np.concatenate([part.features.bucket_X for part in parts])
    return LabelledTexts(
        [doc_id for part in parts for doc_id in part.doc_ids],
        np.concatenate([part.draw_N for part in parts]),
        np.concatenate([part.label_N for part in parts]),
        np.concatenate([part.scored_N for part in parts]),
        Features(bucket_X, document_X),
    )


def _train(rules: Classifier, sample: LabelledTexts, folder: Path) -> None:
    train_N = (sample.label_N >= 0) & (sample.draw_N >= rules.heldout_frac)
    test_N = (sample.label_N >= 0) & ~train_N
    for name, rows_N in (("train", train_N), ("measure", test_N)):
        for label, what in ((1, "positives"), (0, "negatives")):
            if not (rows_N & (sample.label_N == label)).any():
                raise ValueError(
                    f"classifier: no document of its {what} to {name} on: name other domains or "
                    "sources, raise max_documents, or collect more"
                )
    label_N = np.where(train_N, sample.label_N, -1)
    weights = fit_weights(rules, sample.features, label_N)
    scorer = Scorer(*weights, 0.0, frozenset(rules.domains))
    score_N = scorer.score_features(sample.features, len(sample.doc_ids))
    scorer._replace(threshold=_find_threshold(score_N[sample.scored_N], rules)).save(folder)
    places = np.flatnonzero(test_N)
    pl.DataFrame(
        {
            "doc_id": [sample.doc_ids[place] for place in places],
            "label": sample.label_N[places],
            "score": score_N[places],
        }
    ).sort("doc_id").write_parquet(folder / "heldout.parquet")


def fit_weights(
    rules: Classifier, features: Features, label_N: NDArray[np.int64]
) -> ClassifierWeights:
    """Logistic regression by stochastic gradient descent, both classes weighing the same.

    Args:
        rules: buckets, epochs, regularisation and the seed of the order.
        features: of N documents.
        label_N: 1 reference, 0 raw, -1 left out.
    """
    from sklearn.linear_model import SGDClassifier

    matrix = _as_matrix(features, len(label_N), rules.num_buckets)
    model = SGDClassifier(
        loss="log_loss", alpha=rules.l2, max_iter=rules.epochs, tol=None,
        random_state=rules.seed, class_weight="balanced",
    )  # fmt: skip
    taken = np.flatnonzero(label_N >= 0)
    model.fit(matrix[taken], label_N[taken])
    return ClassifierWeights(
        (model.coef_[0] * _SCALE).astype(np.float32), float(model.intercept_[0])
    )


def _as_matrix(features: Features, num: int, num_buckets: int) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    order = np.argsort(features.document_X, kind="stable")
    counts = np.bincount(features.document_X, minlength=num)
    values = np.repeat(_SCALE / np.maximum(1, counts), counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((values, features.bucket_X[order], starts), shape=(num, num_buckets))


def _find_threshold(score_N: Floats, rules: Classifier) -> float:
    """The score that `keep_frac` of the documents reach."""
    if rules.keep_frac == 1 or not len(score_N):
        return 0.0
    return float(np.quantile(score_N, 1 - rules.keep_frac, method="higher"))


def show_scorer(scorer: Scorer, held_out: pl.DataFrame, report: Reporter) -> None:
    """The classifier's ROC on held-out documents, and how many of each class stay."""
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_auc_score, roc_curve

    labels, scores = held_out["label"].to_numpy(), held_out["score"].to_numpy()
    area = float(roc_auc_score(labels, scores))
    false_frac, true_frac, _ = roc_curve(labels, scores)
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(false_frac, true_frac)
    axes.set_xlabel("raw text taken for the reference")
    axes.set_ylabel("reference found")
    axes.set_title(f"area {area:.4f}")
    report.plot("Quality classifier on held-out documents", figure)
    report.table("Quality classifier", list(_count_classes(scorer, labels, scores, area)))


def _count_classes(
    scorer: Scorer, labels: NDArray[np.int64], scores: Floats, area: float
) -> Iterator[dict[str, object]]:
    for label, name in ((1, "reference"), (0, "raw or rejected")):
        of_class = scores[labels == label]
        yield {
            "held-out documents": name,
            "number": len(of_class),
            "median score": round(float(np.median(of_class)), 4),
            "above the threshold": round(float((of_class >= scorer.threshold).mean()), 4),
            "threshold": round(scorer.threshold, 6),
            "AUC": round(area, 5),
        }
