"""The page of a run: all that it says is escaped, alone in its file, and stands in a browser."""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.curves import CurvePoint
from infra.home import ROOT
from infra.pages import render_document
from k2core.evaluate.compare import Flip
from schemas.base import Artifact
from schemas.lineage import LineageRecord
from workflows.pages.charts import Bar, Chart, render_bars, render_chart, thin
from workflows.pages.read import RunOnPage, StageOnPage
from workflows.pages.run_page import render_run
from workflows.report import RECORD, RunReport

NASTY = "</script><script>alert(1)</script>&\"'"


@pytest.fixture(scope="module")
def run() -> RunOnPage:
    """The recorded run of docs/results, with a nasty dialogue and a curve with a gap."""
    report = RunReport.model_validate_json((ROOT / RECORD).read_text())
    stages, known = list[StageOnPage](), dict[str, Artifact]()
    for stage in report.stages:
        record = LineageRecord.model_validate(
            {
                "stage": stage.stage,
                "version": stage.version,
                "configs": {"config": {"said": NASTY}},
                "inputs": dict(known),
                "outputs": stage.outputs,
            }
        )
        known |= stage.outputs
        stages.append(StageOnPage(record, stage.seconds, stage.stage == "clean", None))
    curve = [CurvePoint(step, math.nan if step == 50 else 1 / step) for step in range(1, 300)]
    return RunOnPage(
        name=report.run,
        status="finished",
        recipe=report.recipe,
        date=report.date,
        machine=report.machine,
        code=report.code,
        tracking="sqlite:///mlflow.db",
        stages=stages,
        missing=[],
        charts=[Chart(f"Loss {NASTY}", {"loss": curve, NASTY: curve})],
        scores=report.scores,
        flips=[Flip("lookup", NASTY, won, ("wrong", ""), (NASTY, "fine")) for won in (True, False)],
    )


@pytest.fixture(scope="module")
def page(run: RunOnPage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(render_document(run.name, render_run(run, path.parent)))
    return path


def test_everything_is_there_and_nothing_is_asked_of_others(run: RunOnPage, page: Path) -> None:
    text = page.read_text()
    for stage in run.stages:
        assert f'href="#{stage.name}"' in text
        assert f'id="{stage.name}"' in text
    for family in run.scores.families if run.scores else ():
        assert f">{family}</text>" in text
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", text)
    assert "url(" not in text
    assert "@import" not in text


def test_what_others_wrote_stays_text(page: Path) -> None:
    text = page.read_text()
    assert "<script>alert" not in text
    assert text.count("<script") == text.count("</script>") == 2  # a chart's points, and ours


def test_a_run_that_has_only_begun_has_a_page(run: RunOnPage, tmp_path: Path) -> None:
    begun = run._replace(stages=[], charts=[], scores=None, flips=[], missing=["ingest", "clean"])
    assert "Nothing is made yet; finished. Not done: ingest, clean." in render_run(begun, tmp_path)


def test_a_curve_keeps_its_spikes_and_leaves_out_what_is_no_number() -> None:
    curve = [CurvePoint(step, 9.0 if step == 7001 else 1.0) for step in range(10_000)]
    kept = thin(curve)
    assert len(kept) <= 400
    assert CurvePoint(7001, 9.0) in kept
    assert kept == sorted(kept)
    drawn = render_chart(Chart("t", {"a": [CurvePoint(1, math.nan), CurvePoint(2, 3.0)]}))
    assert "nan" not in drawn.lower()
    assert render_chart(Chart("t", {"a": [CurvePoint(1, math.inf)]})) == ""


def test_bars_say_their_interval() -> None:
    drawn = render_bars({"code": [Bar("sft", 0.5, 0.25, 0.75)]})
    assert "code: sft 50.0%, 95 % from 25.0% to 75.0%" in drawn


_PROBE = """<script>
const said = [];
addEventListener("error", (event) => said.push(event.message));
addEventListener("load", () => {
  const root = document.documentElement;
  const plot = document.querySelector(".plot"), box = plot.getBoundingClientRect();
  const tick = () => [...plot.querySelectorAll(".tick")].map((t) => t.textContent).join(" ");
  const fire = (kind, share) => plot.dispatchEvent(
    new PointerEvent(kind, { clientX: box.left + share * box.width, clientY: box.top + 20 }));
  const before = tick();
  fire("pointermove", 0.5);
  const readout = document.querySelector(".readout").textContent;
  fire("pointerdown", 0.4);
  fire("pointerup", 0.8);
  const closer = tick();
  plot.dispatchEvent(new MouseEvent("dblclick"));
  root.dataset.probe = JSON.stringify({
    said, readout, before, closer, after: tick(), wide: root.scrollWidth - root.clientWidth,
    scheme: getComputedStyle(root).colorScheme,
  });
});
</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium is installed")
@pytest.mark.parametrize("width", [500, 1200])
def test_a_browser_shows_it_without_a_complaint(page: Path, tmp_path: Path, width: int) -> None:
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</head>", f"{_PROBE}</head>"))
    shown = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'browser'}",
            f"--window-size={width},900",
            *("--virtual-time-budget=3000", "--dump-dom", probed.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    found = re.search(r'data-probe="([^"]*)"', shown)
    assert found is not None
    probe = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    assert probe["said"] == []
    assert probe["wide"] <= 0
    assert re.match(r"step \d+: loss 0\.0\d+", probe["readout"])
    assert probe["closer"] != probe["before"] == probe["after"]
