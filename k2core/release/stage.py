"""The stage: from checkpoints, scores and lineage to a folder that can be published."""

import hashlib
import shutil
from itertools import chain
from pathlib import Path

from k2core.model.hf import load_weights, write_json
from k2core.release.card import Facts, model_card
from k2core.release.licenses import licenses_page, read_sources
from k2core.release.parity import Parity, check_parity
from k2core.store import Draft, Workspace
from k2core.tokens import TokenStream
from schemas.artifacts import Checkpoint, Evaluation, RawCorpus, TokenCorpus, TrajectorySet
from schemas.lineage import LineageRecord
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
    workspace: Workspace,
) -> Draft:
    """Put together what is published, after proving that it computes what was trained.

    Raises:
        ParityError: a released folder computes something else.
        ValueError: a source of data without a licence.
    """
    out, report = workspace.out, workspace.report
    folders = {"base": out / "base", "policy": out / "policy"}
    for name, checkpoint in (("base", base), ("policy", policy)):
        shutil.copytree(workspace.open(checkpoint), folders[name])
    corpus = workspace.open(tokens)
    # The corpus's sources hold the model that rephrased, too.
    sources = read_sources([workspace.open(raw), corpus, workspace.open(trajectories)])
    parities = _prove(folders, _held_out_tokens(corpus, config), config, workspace)
    facts = Facts(
        shape_folder=folders["policy"],
        scores_file=workspace.open(evaluation) / "scores.json",
        sources=sources,
        tokens=tokens,
        trajectories=trajectories,
        base=base,
        policy=policy,
        parity=parities["policy"],
    )
    (out / "MODEL_CARD.md").write_text(model_card(config, facts))
    (out / "LICENSES.md").write_text(licenses_page(sources))
    write_json(out / "lineage.json", [record.model_dump(mode="json") for record in lineage])
    write_json(out / "parity.json", {name: p.model_dump() for name, p in parities.items()})
    report.table("Parity", [{"checkpoint": n, **p.model_dump()} for n, p in parities.items()])
    files = sorted(path for path in out.rglob("*") if path.is_file())
    sums = [f"{_sha256(path)}  {path.relative_to(out).as_posix()}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(sums))
    counts = {
        "files": len(files) + 1,
        "sources": len(sources),
        "stages": len(lineage),
        "max_logit_difference": max(p.max_logit_difference for p in parities.values()),
    }
    return Draft(out, counts)


def _prove(
    folders: dict[str, Path], tokens: list[int], config: ReleaseConfig, workspace: Workspace
) -> dict[str, Parity]:
    from k2core.engines.ray import serve

    length = config.num_parity_tokens + config.num_greedy_tokens
    parities: dict[str, Parity] = {}
    workspace.report.progress(1, 4, "starting vLLM")
    with serve(folders["policy"], num_engines=1, max_model_len=length, max_num_seqs=1) as engine:
        for place, (name, folder) in enumerate(reversed(folders.items())):
            workspace.report.progress(2 + place, 4, f"comparing logits of {name}")
            if place:
                engine.update_weights(load_weights(folder))
            parities[name] = check_parity(folder, tokens, engine, config)
    return parities


def _held_out_tokens(folder: Path, config: ReleaseConfig) -> list[int]:
    """The first held-out tokens, domain by domain."""
    stream = TokenStream(folder, seed=0, sequence_length=16)
    documents = chain.from_iterable(stream.held_out(d) for d in sorted(stream.manifest.domains))
    found: list[int] = []
    for document in documents:
        found += [int(token) for token in document]
        if len(found) >= config.num_parity_tokens:
            break
    return found[: config.num_parity_tokens]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
