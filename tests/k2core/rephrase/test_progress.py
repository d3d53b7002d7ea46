"""What a run has finished outlives it, whenever it is killed."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from k2core.rephrase import rephrase_corpus
from k2core.rephrase.journal import Journal
from k2core.rephrase.progress import Pace, rewrite_all
from k2core.rephrase.rewrite import EngineWriter, Finished, Prompter, Watch, unwatched
from k2core.rephrase.start import GroupRephraser
from k2core.rephrase.styles import RewriteJob
from k2core.reporting import Silent
from k2core.store import Store, digest_of, manifest_of
from schemas.placement import Placement
from tests.k2core.rephrase.killed import TOGETHER, draw_jobs
from tests.k2core.rephrase.lighthouses import Writer, config_for, publish_clean

NOTES = ("writing", "judging")


class Listener(Silent):
    """Remembers the progress and the points of the curve."""

    def __init__(self) -> None:
        self.done: list[float] = []
        self.total: list[float] = []
        self.steps: list[int] = []

    def progress(self, done: float, total: float, note: str = "") -> None:
        assert note.startswith("starting") or note in NOTES or note.endswith(" tokens/s")
        self.done.append(done)
        self.total.append(total)

    @property
    def left(self) -> float:
        return self.total[-1] - self.done[-1]

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if "tokens_per_second" in values:
            assert values["tokens_per_second"] > 0
            self.steps.append(step)


def run_stage(
    store: Store, rephraser: Path, engine: Writer, key: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Listener]:
    """Digest of what comes out, and what was said meanwhile."""
    monkeypatch.setattr("k2core.rephrase.start.start_engine", lambda *_: engine)
    config, listener = config_for(rephraser, documents_together=TOGETHER), Listener()
    draft = rephrase_corpus(
        config, publish_clean(store), Placement(), store.workspace(key, listener)
    )
    return digest_of(manifest_of(draft.folder)), listener


@pytest.mark.slow
def test_a_document_finished_before_a_kill_is_never_asked_for_again(
    tmp_path: Path, rephraser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    whole = Writer(rephraser)
    wanted, said = run_stage(store, rephraser, whole, "whole", monkeypatch)
    assert said.steps == [0, 1]
    assert said.done == sorted(said.done)
    assert (said.done[0], said.left) == (0, 0)
    # Killed in the first group, at its end and in the second group.
    module = [sys.executable, "-m", "tests.k2core.rephrase.killed"]
    command = [*module, str(tmp_path), str(rephraser), "1", "3", "1"]
    killed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert killed.splitlines() == [f"{signal.SIGKILL:d} {kept}" for kept in (1, 4, 5)]
    rest = Writer(rephraser)
    found, said = run_stage(store, rephraser, rest, "killed", monkeypatch)
    assert rest.prompts == whole.prompts[5:]
    assert found == wanted
    assert said.steps == [1]
    assert said.done == sorted(said.done)
    assert said.left == 0


def test_what_is_left_is_known_where_judging_takes_longer_than_writing(
    monkeypatch: pytest.MonkeyPatch, rephraser: Path, tmp_path: Path
) -> None:
    """Five of six are written in 10 s, then each is judged in 10; the last is written alone."""
    now, listener = 0.0, Listener()
    jobs = draw_jobs(config_for(rephraser), Store(tmp_path))
    size = sum(len(job.document.text) for job in jobs) / len(jobs)
    monkeypatch.setattr("k2core.rephrase.progress.time.monotonic", lambda: now)
    pace = Pace(listener, jobs, 0)
    now = 43.0
    pace.start()
    now += 10.0
    pace.write(5)
    assert listener.total == [0, 0]  # until one was judged
    for number, job in enumerate(jobs, 1):
        if number == len(jobs):
            now += 2.0
            pace.write(6)
        now += 10 * len(job.document.text) / size
        pace.judge(job)
        to_judge = sum(len(other.document.text) for other in jobs[number:]) / size
        assert listener.left == pytest.approx(10 * to_judge + 2 * (number < 6))


def test_another_machine_goes_on_with_what_was_shared(
    tmp_path: Path, rephraser: Path, bucket: str
) -> None:
    """A document that was finished before the first machine and its disk were lost is kept."""
    config = config_for(rephraser, documents_together=TOGETHER)
    jobs = draw_jobs(config, Store(tmp_path / "corpus"))

    def work_on(disk: str, writer: Writer) -> None:
        start = partial(GroupRephraser, EngineWriter(writer, Prompter(rephraser, config)), config)
        rewrite_all(config, jobs, Store(bucket, tmp_path / disk).workspace("work"), start)

    with pytest.raises(ConnectionError):
        work_on("first", Writer(rephraser, max_answers=5))
    shutil.rmtree(tmp_path / "first")
    whole, rest = Writer(rephraser), Writer(rephraser)
    work_on("second", rest)
    work_on("second", rest)  # all is there: nobody is asked
    Store(bucket, tmp_path / "second").states("work").clear()
    work_on("third", whole)
    assert rest.prompts == whole.prompts[5:]


def test_another_model_does_not_go_on_with_the_work(
    tmp_path: Path, rephraser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    with pytest.raises(ConnectionError):
        run_stage(store, rephraser, Writer(rephraser, max_answers=2), "r", monkeypatch)
    other = Writer(rephraser)
    monkeypatch.setattr(Writer, "weights", "sha256:other")
    with pytest.raises(ValueError, match=r"rewritings.jsonl has documents that sha256:\w+ wrote"):
        run_stage(store, rephraser, other, "r", monkeypatch)
    assert not other.prompts


@pytest.mark.parametrize("torn", [1, 7, 40])
def test_a_torn_entry_is_cut_off_and_what_comes_next_is_whole(tmp_path: Path, torn: int) -> None:
    entries = [{"text": f"Ærø {n}\n", "n": n} for n in range(3)]
    journal = Journal(tmp_path / "deep" / "j")
    for entry in entries:
        journal.add(entry)
    journal.close()
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-torn])
    again = Journal(journal.path)
    left = 2 if torn < 33 else 1
    assert again.entries == entries[:left]
    for entry in entries[left:]:
        again.add(entry)
    again.close()
    assert journal.path.read_bytes() == content


def test_a_dataset_goes_on_in_waves_for_as_long_as_documents_fit(
    tmp_path: Path, rephraser: Path
) -> None:
    """All documents are one group; room comes back when rewrites are shorter than they might be."""
    store = Store(tmp_path)
    found, waves = {}, []

    class Noting(GroupRephraser):
        def rewrite(
            self, jobs: Sequence[RewriteJob], watch: Watch = unwatched
        ) -> Iterator[Finished]:
            waves.append(len(jobs))
            return super().rewrite(jobs, watch)

    for spread in ("group", "dataset"):
        config = config_for(rephraser, spread=spread, documents_together=1, max_tokens_spent=1000)
        jobs = draw_jobs(config, store)
        writer = EngineWriter(Writer(rephraser), Prompter(rephraser, config))
        start = partial(Noting, writer, config)
        found[spread] = rewrite_all(config, jobs, store.workspace(spread), start)
    assert waves == [1, 1, 1, 2, 1]
    assert found["group"] == found["dataset"]
    assert found["dataset"].num_tokens <= 1000
