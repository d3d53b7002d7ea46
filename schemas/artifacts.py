"""What stages pass to one another; the folder layout of each kind is its docstring."""

from typing import Literal

from schemas.base import Artifact, Config


class RawCorpus(Artifact):
    """`documents/*.parquet` (`Document`), `sources.json` (source -> licence, package, version).

    Where files were asked for, `origins/*.parquet` (`Origin`) says where in them each document was
    found, `losses/*.parquet` (`Loss`) what none came of, and `faults.json` counts what was lost,
    left out and mended, with examples.
    """

    kind: Literal["raw_corpus"] = "raw_corpus"


class CleanCorpus(Artifact):
    """`kept/*.parquet` (`Document`), `rejects/*.parquet` (`Reject`), and why.

    `decisions/*.parquet` holds a `Decision` for each raw document, `duplicates/*.parquet` says what
    a duplicate repeats (`Duplicate`), `passages/*.parquet` what was cut out of kept documents
    (`RepeatedPassage`) and `overlaps/*.parquet` which held-out problem was met (`Overlap`); shards
    without any have no file.
    `funnel.json` counts by rule, `sources.json` names the licences.
    """

    kind: Literal["clean_corpus"] = "clean_corpus"


class RephrasedCorpus(Artifact):
    """`kept/*.parquet` (`Rewrite`), `rejects/*.parquet` (`RewriteReject`), `sources.json`."""

    kind: Literal["rephrased_corpus"] = "rephrased_corpus"


class TokenCorpus(Artifact):
    """`tokenizer/` in the Hugging Face layout, and token ids as Megatron IndexedDatasets.

    `train/DOMAIN/NUMBER.{bin,idx}` and `heldout/DOMAIN/NUMBER.{bin,idx}`, a domain in parts, beside
    each a `.parquet` of its documents' ids in order, `manifest.json` (mixture, counts, the parts),
    `sources.json`.
    """

    kind: Literal["token_corpus"] = "token_corpus"


class TrajectorySet(Artifact):
    """`accepted/*.parquet` and `rejects/*.parquet` (`TrajectoryRow`).

    Beside them `tools.json`, `stats.json` and `sources.json`.
    """

    kind: Literal["trajectory_set"] = "trajectory_set"


class Checkpoint(Artifact):
    """Weights in the Hugging Face layout: `config.json`, `*.safetensors`, tokenizer files.

    `training.json` says how they came about: steps, losses, schedule.
    """

    kind: Literal["checkpoint"] = "checkpoint"


class RolloutLog(Artifact):
    """`rollouts/*.parquet` (`RolloutRow`), each naming the digest of the weights that served it."""

    kind: Literal["rollout_log"] = "rollout_log"


class Evaluation(Artifact):
    """`scores.json` (`Scores`) and every graded answer, `answers/*.parquet` (`AnswerRow`)."""

    kind: Literal["evaluation"] = "evaluation"


class Release(Artifact):
    """`base/` and `policy/`, each a repository as the Hub has them, and what proves them.

    Each holds weights, tokenizer, `README.md` (its card) and `LICENSES.md`. Beside them
    `lineage.json`, `parity.json` (logits and chat tokens against the trainer's, reader by reader)
    and `SHA256SUMS`.
    """

    kind: Literal["release"] = "release"


class RlResult(Config):
    """What RL makes: the policy and the log of all that it was trained on."""

    policy: Checkpoint
    """The trained weights."""
    rollouts: RolloutLog
    """Every sample, with its reward and the receipt of the weights that served it."""
