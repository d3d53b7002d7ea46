"""The stage: from checkpoints, scores and lineage to a folder that can be published."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from k2core.chat import ChatCodec
from k2core.chat.hub import template_of
from k2core.model.hf import state_sampling, write_json
from k2core.passes import Passes
from k2core.release.card import CardFacts, model_card
from k2core.release.data_cards import describe_data
from k2core.release.dialogues import Form, list_forms
from k2core.release.example import run_example
from k2core.release.licenses import LicensedSource, licenses_page, read_sources
from k2core.release.metadata import Which
from k2core.release.parity import Proof, check_parity
from k2core.release.precision import Rounding, measure_rounding, round_weights
from k2core.release.readers import Expected, Reading, list_readers, read_elsewhere
from k2core.release.served import check_serving
from k2core.reporting import Reporter
from k2core.store import Draft, Workspace, digest_of, manifest_of
from k2core.tokens import TokenStream
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, TokenCorpus, TrajectorySet
from schemas.evaluate import Scores
from schemas.lineage import LineageRecord
from schemas.placement import Placement
from schemas.release import ReleaseConfig


def assemble_release(
    config: ReleaseConfig,
    base: Checkpoint,
    policy: Checkpoint,
    evaluation: Evaluation,
    raw: RawCorpus,
    tokens: TokenCorpus,
    trajectories: TrajectorySet,
    lineage: list[LineageRecord],
    placement: Placement,
    workspace: Workspace,
) -> Draft:
    """Put together what is published, after proving that it computes what was trained.

    Raises:
        ParityError: a released folder computes something else.
        ValueError: a source of data without a licence.
    """
    out = workspace.out  # the corpus's sources hold the model that rephrased, too
    checkpoints: dict[Which, Checkpoint] = {"base": base, "policy": policy}
    corpus, dialogues = workspace.open(tokens), workspace.open(trajectories)
    scores = Scores.model_validate_json((workspace.open(evaluation) / "scores.json").read_bytes())
    folders = _copy_checkpoints(checkpoints, workspace, scores.temperature)
    brought, sources = _find_sources(folders["base"], [workspace.open(raw), corpus], dialogues)
    steps = _Steps(workspace.report, folders, config)
    served = {name: partial(workspace.store.open, which) for name, which in checkpoints.items()}
    proofs = _prove(folders, served, _held_out_tokens(corpus, config), config, placement, steps)
    readings = _read_all_elsewhere(folders, proofs, config, steps)
    roundings: dict[Which, Rounding] = {}
    for which, folder in folders.items():
        steps.begin(f"writing {which}")
        (folder / "LICENSES.md").write_text(licenses_page(sources))
        facts = CardFacts(
            which=which,
            folder=folder,
            scores=scores,
            sources=sources,
            lineage=lineage,
            digest=checkpoints[which].digest,
            parity=proofs[which].parity,
            rounding=None,
            brought=brought,
            readings=readings[which],
            served=_serve(folder, config, workspace, steps) if which == "policy" else 0,
            example=run_example(folder) if which == "policy" else None,
        )
        if config.bf16:
            roundings[which] = _round(folder, proofs[which], config, facts)
        (folder / "README.md").write_text(model_card(config, facts))
    describe_data(config, out / "data", workspace.open(raw), corpus, dialogues, lineage)
    write_json(out / "lineage.json", [record.model_dump(mode="json") for record in lineage])
    write_json(out / "parity.json", _proofs_as_json(proofs, readings, roundings))
    _report(proofs, readings, workspace.report)
    counts = {
        "files": _write_sums(out),
        "sources": len(sources),
        "stages": len(lineage),
        "max_logit_difference": max(p.parity.max_logit_difference for p in proofs.values()),
    }
    return Draft(out, counts)


def _copy_checkpoints(
    checkpoints: Mapping[Which, Checkpoint], workspace: Workspace, temperature: float
) -> dict[Which, Path]:
    """Each in a folder of its own, to be sampled as it was evaluated."""
    folders = {name: workspace.out / name for name in checkpoints}
    for name, folder in folders.items():
        shutil.copytree(workspace.open(checkpoints[name]), folder)
        state_sampling(folder, temperature)
    return folders


_START, _ASKED, _SERVED = "starting vLLM", "asking the server", "serving policy"


class _Steps:
    """The stage's steps, by about how many seconds each takes of a small model."""

    def __init__(self, report: Reporter, names: Iterable[Which], config: ReleaseConfig) -> None:
        weights = {
            _START: 12.0,
            **{f"comparing logits of {name}": 6.0 for name in reversed(list(names))},
            **{f"reading by {reader}": 9.0 for reader in list_readers()},
            **{f"writing {name}": 0.5 for name in names},
        }
        if config.serving_requests:
            weights |= {_SERVED: 20.0, _ASKED: 0.1 * config.serving_requests}
        self._passes = Passes(report, {**weights, "closing": 2.0})

    def begin(self, name: str) -> None:
        """One begins."""
        self._passes.tell(name, 0, 1)

    def ask(self, done: int, total: int) -> None:
        """So many of the server's requests are answered."""
        self._passes.tell(_ASKED, done, total)


class _Sources(NamedTuple):
    brought: str
    """Where the base was brought from; empty for one that was trained here."""
    sources: list[LicensedSource]


def _find_sources(base: Path, texts: Sequence[Path], dialogues: Path) -> _Sources:
    """Of all that the models learned from; a base that was brought read none of the texts."""
    if not (base / "sources.json").exists():
        return _Sources("", read_sources([*texts, dialogues]))
    return _Sources(read_sources([base])[0].package, read_sources([base, dialogues]))


def _serve(folder: Path, config: ReleaseConfig, workspace: Workspace, steps: _Steps) -> int:
    """Requests that the policy's server answered as it must; 0 where nothing was asked.

    Raises:
        ServingError: it breaks what it promises.
    """
    if not (config.serving_requests and _forms_of(folder)):
        return 0
    steps.begin(_SERVED)
    with tempfile.TemporaryDirectory() as kept:
        answers = Path(kept) / "answers.jsonl"
        log = workspace.scratch / "server.log"
        figures = check_serving(folder, config.serving_requests, answers, log, steps.ask)
    workspace.report.table("Serving", [figures.model_dump(exclude={"faults", "breaches"})])
    return figures.answered


def _report(
    proofs: Mapping[Which, Proof],
    readings: Mapping[Which, Sequence[Reading]],
    report: Reporter,
) -> None:
    rows = [{"checkpoint": name, **proof.parity.model_dump()} for name, proof in proofs.items()]
    report.table("Parity", rows)
    rows = [{"checkpoint": n, **r.model_dump()} for n, found in readings.items() for r in found]
    report.table("Readers", rows)


def _round(folder: Path, proof: Proof, config: ReleaseConfig, facts: CardFacts) -> Rounding:
    """The repository in bf16 beside a model's own, with its card."""
    rounded = folder.with_name(f"{folder.name}-bf16")
    round_weights(folder, rounded)
    pages = {"README.md", "LICENSES.md"}
    weights = [entry for entry in manifest_of(rounded) if entry.path not in pages]
    rounding = measure_rounding(rounded, proof)
    own = replace(facts, rounding=rounding, served=0, digest=digest_of(weights))
    (rounded / "README.md").write_text(model_card(config, own))
    return rounding


def _write_sums(out: Path) -> int:
    """Write `SHA256SUMS` of all files; returns how many there are with it."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    sums = [f"{_sha256(path)}  {path.relative_to(out).as_posix()}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(sums))
    return len(files) + 1


def _read_all_elsewhere(
    folders: Mapping[Which, Path],
    proofs: Mapping[Which, Proof],
    config: ReleaseConfig,
    steps: _Steps,
) -> dict[Which, list[Reading]]:
    """Hold every reader that is installed against the trainer's logits and training's tokens."""
    expected = [
        Expected(folder, proof.windows, proof.logits, _forms_of(folder))
        for folder, proof in ((folders[name], proofs[name]) for name in folders)
    ]
    found = read_elsewhere(expected, config.max_logit_difference, steps.begin)
    return dict(zip(folders, found, strict=True))


def _forms_of(folder: Path) -> list[Form]:
    """Dialogues for its template; a base that was brought may have one of its own."""
    path = folder / "chat_template.jinja"
    is_ours = path.exists() and path.read_text() == template_of(folder)
    return list_forms(ChatCodec(folder)) if is_ours else []


def _proofs_as_json(
    proofs: Mapping[Which, Proof],
    readings: Mapping[Which, Sequence[Reading]],
    roundings: Mapping[Which, Rounding],
) -> dict[str, object]:
    return {
        name: {
            **proof.parity.model_dump(),
            "readers": [reading.model_dump() for reading in readings[name]],
            **({"bf16": roundings[name].model_dump()} if name in roundings else {}),
        }
        for name, proof in proofs.items()
    }


def _prove(
    folders: Mapping[Which, Path],
    served: Mapping[Which, Callable[[], Path]],
    tokens: list[int],
    config: ReleaseConfig,
    placement: Placement,
    steps: _Steps,
) -> dict[Which, Proof]:
    from k2core.engines.ray import serve

    length = min(64, max(config.parity_windows)) + config.num_greedy_tokens
    proofs: dict[Which, Proof] = {}
    steps.begin(_START)
    # One engine, as exact as transformers is.
    exact = placement.serving.model_copy(update={"num_engines": 1, "dtype": "float32"})
    with serve(served["policy"], exact, max_model_len=length, max_num_seqs=1) as engine:
        for place, (name, folder) in enumerate(reversed(list(folders.items()))):
            steps.begin(f"comparing logits of {name}")
            if place:
                engine.load(served[name])
            proofs[name] = check_parity(folder, tokens, engine, config)
    return proofs


def _held_out_tokens(folder: Path, config: ReleaseConfig) -> list[int]:
    """The first held-out tokens, domain by domain."""
    stream = TokenStream(folder, seed=0, sequence_length=16)
    documents = chain.from_iterable(stream.held_out(d) for d in sorted(stream.manifest.domains))
    found: list[int] = []
    for document in documents:
        found += [int(token) for token in document]
        if len(found) >= max(config.parity_windows):
            break
    return found[: max(config.parity_windows)]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
