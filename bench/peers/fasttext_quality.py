"""FastText's supervised classifier; run by the peers' interpreter.

    python fasttext_quality.py TASK RESULT DIMENSIONS EPOCHS RATE BUCKETS

TASK is a JSON object: texts and labels to train on, texts to score.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import fasttext

_BATCH = 1000
_REFERENCE = "__label__1"


def main(task: str, result: str, dim: str, epochs: str, rate: str, buckets: str) -> None:
    """Train on one part, score the other, write seconds and the scores."""
    found = json.loads(Path(task).read_text())
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        rows = zip(found["labels"], found["train"], strict=True)
        path.write_text("".join(f"__label__{label} {_line(text)}\n" for label, text in rows))
        model = fasttext.train_supervised(
            str(path), wordNgrams=2, bucket=int(buckets), dim=int(dim), epoch=int(epochs),
            lr=float(rate), thread=1, seed=1, verbose=0,
        )  # fmt: skip
    training, started = time.process_time() - started, time.process_time()
    scores = []
    for start in range(0, len(found["score"]), _BATCH):
        lines = [_line(text) for text in found["score"][start : start + _BATCH]]
        for names, values in zip(*model.predict(lines, k=2), strict=True):
            scores.append(float(values[names.index(_REFERENCE)]))
    scoring = time.process_time() - started
    Path(result).write_text(
        json.dumps({"training": training, "scoring": scoring, "scores": scores})
    )


def _line(text: str) -> str:
    return text.replace("\n", " ")


if __name__ == "__main__":
    main(*sys.argv[1:])
