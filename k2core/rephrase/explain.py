"""What became of a document in the rephrasing: in which chunks, held to what, or why not at all."""

from collections.abc import Callable
from pathlib import Path

from k2core.rephrase.endpoint import count_characters
from k2core.rephrase.fidelity import list_bounds
from k2core.rephrase.rephraser import locate_rephraser
from k2core.rephrase.rewrite import Chunk, Prompter, cut_text
from k2core.rephrase.sample import fits, sample_documents
from schemas.rephrase import RephraseConfig


def explain_absence(config: RephraseConfig, kept: Path, doc_id: str, domain: str, text: str) -> str:
    """Why the corpus has no rewrite of a clean document.

    Args:
        config: the rephrasing's.
        kept: the clean corpus' `kept/`.
        doc_id: the document's.
        domain: the document's.
        text: the document's.
    """
    asked = config.documents.get(domain, 0)
    if not asked:
        return f"no document of the domain {domain} is rewritten"
    if not fits(config, text):
        most = config.max_words or "any number"
        return (
            f"it has {len(text.split())} words, and documents of {config.min_words} to {most} are "
            "rewritten"
        )
    drawn = {document.doc_id for document in sample_documents(config, kept)}
    if doc_id not in drawn:
        return f"{asked} documents of the domain {domain} are drawn by seed {config.seed}, not it"
    return f"it was drawn, but max_tokens_spent={config.max_tokens_spent} left no room for it"


def replay_chunks(config: RephraseConfig, models: Path, text: str) -> list[Chunk] | None:
    """The chunks that a document was rewritten in, cut anew; None without the model's tokenizer.

    Args:
        config: the rephrasing's.
        models: where converted models are kept.
        text: the document's.
    """
    count: Callable[[str], int] = count_characters
    if config.endpoint is None:
        folder = locate_rephraser(config.model, models)
        if folder is None:
            return None
        count = Prompter(folder, config).count
    return cut_text(text, config.chunk_tokens, count)


def describe_scores(config: RephraseConfig, scores: dict[str, float]) -> list[str]:
    """Each measure of the gate with its limit, those that are missed first."""
    missed, held = [], []
    for bound in list_bounds(config.fidelity, bool(scores.get("translated"))):
        value = scores.get(bound.measure)
        if value is None:
            continue
        about = f"{bound.measure} {value:g}, {'at least' if bound.floor else 'at most'} "
        if bound.holds(value):
            held.append(f"{about}{bound.limit:g}")
        else:
            missed.append(f"{about}{bound.limit:g}: {bound.fault}")
    return missed + held
