"""REPHRASE: faithful rewrites instead of repetition (arXiv:2507.20534, section 2.2)."""

from k2core.rephrase.outcome import write_artifact
from k2core.rephrase.progress import rewrite_all
from k2core.rephrase.sample import sample_documents
from k2core.rephrase.show import show_alignment, show_rewrites
from k2core.rephrase.start import Rephraser, start_rephraser
from k2core.rephrase.styles import assign_styles, load_styles
from k2core.store import Draft, Workspace
from schemas.artifacts import CleanCorpus
from schemas.placement import Placement
from schemas.rephrase import RephraseConfig


def rephrase_corpus(
    config: RephraseConfig, clean: CleanCorpus, placement: Placement, workspace: Workspace
) -> Draft:
    """Rewrite a sample of the corpus, chunk by chunk, and keep what the fidelity gate lets pass."""
    corpus = workspace.open(clean)
    styles = load_styles(config.styles)
    documents = sample_documents(config, corpus / "kept")
    jobs = assign_styles(documents, styles, config.rewrites_per_document, config.seed)
    models = workspace.store.disk / "models"

    def start() -> Rephraser:
        return start_rephraser(config, models, placement.serving)

    judged, num_begun, num_tokens, writer = rewrite_all(config, jobs, workspace, start)
    write_artifact(workspace.out, config, judged, writer, corpus)
    show_rewrites(judged, workspace.report)
    show_alignment(config.fidelity, judged, workspace.report)
    kept = [entry for entry in judged if not entry.reason]
    counts = {
        "rewrites": len(kept),
        "rejects": len(judged) - len(kept),
        "words": sum(len(entry.row["text"].split()) for entry in kept),
        "tokens_written": num_tokens,
        "asked": len(jobs),
        "not_begun": len(jobs) - num_begun,
    }
    return Draft(workspace.out, {name: float(count) for name, count in counts.items()})
