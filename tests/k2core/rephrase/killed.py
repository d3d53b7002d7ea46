"""Runs of one rephrasing that end by SIGKILL: `python -m ... STORE REPHRASER ANSWERS...`.

Each is a process of its own that goes on where the last was killed, after so many answers. For each
a line: what ended it, and how many documents are kept.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

from k2core.rephrase.progress import rewrite_all
from k2core.rephrase.rewrite import EngineWriter, Prompter
from k2core.rephrase.sample import sample_documents
from k2core.rephrase.start import GroupRephraser
from k2core.rephrase.styles import RewriteJob, assign_styles, load_styles
from k2core.store import Store
from schemas.rephrase import RephraseConfig
from tests.k2core.rephrase.lighthouses import Writer, config_for, publish_clean

TOGETHER = 4


class Dying(Writer):
    def go_down(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def draw_jobs(config: RephraseConfig, store: Store) -> list[RewriteJob]:
    documents = sample_documents(config, store.open(publish_clean(store)) / "kept")
    return assign_styles(documents, load_styles(config.styles), 1, config.seed)


def count_kept(journal: Path) -> int:
    return sum('"rewriting"' in line for line in journal.read_text().splitlines())


if __name__ == "__main__":
    store, rephraser = Store(Path(sys.argv[1])), Path(sys.argv[2])
    config = config_for(rephraser, documents_together=TOGETHER)
    jobs, prompter = draw_jobs(config, store), Prompter(rephraser, config)
    workspace = store.workspace("killed")
    for answers in map(int, sys.argv[3:]):
        if not (process := os.fork()):
            writer = EngineWriter(Dying(rephraser, max_answers=answers), prompter)
            start = partial(GroupRephraser, writer, config)
            rewrite_all(config, jobs, workspace, start)
            os._exit(0)
        status = os.waitpid(process, 0)[1]
        print(os.WTERMSIG(status), count_kept(workspace.scratch / "rewritings.jsonl"))
