"""Keep the progress of a recorded run's stages for the test of the time that is left.

python -m tests.infra.record_traces RUN
"""

import json
import sys
from pathlib import Path

from infra.kept import read_kept_json
from infra.tracking import find_runs

TRACES = Path(__file__).parent / "traces"


def main(flyte_run: str) -> None:
    """Write `traces/RUN.json`: stage -> seconds, done and total of each report, then the end."""
    traces = {}
    for run in find_runs(kind="stage", flyte_run=flyte_run):
        if run.info.status == "FINISHED" and "k2.cached" not in run.data.tags:
            traces[run.data.tags["k2.stage"]] = read_kept_json(run.info.run_id, "progress.json")[
                "reports"
            ]
    lines = [f" {json.dumps(stage)}: {json.dumps(trace)}" for stage, trace in traces.items()]
    (TRACES / f"{flyte_run}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
