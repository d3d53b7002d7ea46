"""The attestations that a release stage's run keeps."""

from pathlib import Path

from infra.index import RunIndex
from infra.kept import kept_files
from infra.runs import SeenRun, see_runs
from schemas.base import Artifact
from workflows.attest.places import FOLDER, TAG


def attested_run(run: SeenRun) -> SeenRun | None:
    """The run as it is now, if its release was attested: an index saw it before that."""
    if run.tags.get("stage") != "release":
        return None
    now = next((seen for seen in see_runs(run.started) if seen.run_id == run.run_id), run)
    return now if TAG in now.tags else None


def find_attestations(release: Artifact) -> Path | None:
    """Their folder, if a release was attested.

    Raises:
        FileNotFoundError: it was, and they are gone.
    """
    with RunIndex() as index:
        maker = index.maker(release.digest)
    run = attested_run(maker.run) if maker else None
    return kept_files(run.run_id, FOLDER) if run else None
