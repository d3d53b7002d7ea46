"""A rephrasing whose process kills itself: `python -m ... STORE REPHRASER MAX_ANSWERS`."""

import os
import signal
import sys
from pathlib import Path

from k2core.rephrase.progress import rewrite_all
from k2core.rephrase.rewrite import EngineWriter, Prompter
from k2core.rephrase.sample import sample_documents
from k2core.rephrase.start import GroupRephraser
from k2core.rephrase.styles import Job, assign_styles, load_styles
from k2core.store import Store
from schemas.rephrase import RephraseConfig
from tests.k2core.rephrase.lighthouses import Writer, config_for, publish_clean

TOGETHER = 4


class Dying(Writer):
    def go_down(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def draw_jobs(config: RephraseConfig, store: Store) -> list[Job]:
    documents = sample_documents(config, store.open(publish_clean(store)) / "kept")
    return assign_styles(documents, load_styles(), 1, config.seed)


if __name__ == "__main__":
    store, rephraser = Store(Path(sys.argv[1])), Path(sys.argv[2])
    config = config_for(rephraser, documents_together=TOGETHER)
    jobs = draw_jobs(config, store)
    engine = Dying(rephraser, max_answers=int(sys.argv[3]))
    writer = EngineWriter(engine, Prompter(rephraser, config))
    rewrite_all(
        config, jobs, store.workspace("killed"), lambda: GroupRephraser(writer, config.chunk_tokens)
    )
