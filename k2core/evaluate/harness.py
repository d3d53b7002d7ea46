"""Asks suites of a model behind an OpenAI-compatible server, by inspect_ai; resumes by its logs."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import polars as pl
from inspect_ai import eval_set
from inspect_ai.log import EvalLog, EvalSample, read_eval_log

from k2core.agents.endpoint import TOO_LONG, ChatModel
from k2core.evaluate.answers import declared_tools, fits
from k2core.evaluate.asked import open_model
from k2core.evaluate.suites import Bench, Suite, build_suite
from k2core.evaluate.suites.suite import CATEGORY
from k2core.model.hf import write_json
from k2core.rates import clustered_rate, rate_of
from k2core.sandbox import CodeRunner
from k2core.tables import write_shard
from schemas.benchmarks import SUITES, BenchmarkConfig, Benchmarks, ItemRow, SuiteScore
from schemas.endpoint import Endpoint
from schemas.evaluate import Rate

HARNESS = "inspect_ai"
_LONGEST_KEPT = 20_000
"""Characters of a prompt or an answer in the table; the harness' log has all."""


class Subject(NamedTuple):
    """Who is asked."""

    name: str
    """As the user named it."""
    weights: str
    """Digest of the served weights; empty for a stranger's endpoint."""
    endpoint: Endpoint
    command: str = ""
    """What asks it again, for whoever reads the scores."""


def run_suites(
    config: BenchmarkConfig, asked: Subject, sandbox: CodeRunner, out: Path
) -> Benchmarks:
    """Ask every suite; what an earlier call with the same folder has finished is not asked again.

    Args:
        config: what is asked, and how.
        asked: the model.
        sandbox: judges code.
        out: gets `logs/` (inspect_ai's), `items.parquet` and `benchmarks.json`.

    Raises:
        ValueError: a suite is unknown, or the folder holds answers of another model or config.
    """
    _claim(out, config, asked)
    bench = Bench(sandbox, ChatModel(asked.endpoint))
    suites = {name: build_suite(name, config, bench) for name in config.suites}
    logs = {name: _ask(suite, config, asked, out / "logs" / name) for name, suite in suites.items()}
    rows = {name: list(_rows(name, suite, logs[name])) for name, suite in suites.items()}
    write_shard(out / "items.parquet", ItemRow, [row for found in rows.values() for row in found])
    scores = {
        name: _score(name, suite, logs[name], pl.DataFrame(rows[name], schema_overrides=_SCHEMA))
        for name, suite in suites.items()
    }
    found = Benchmarks(
        model=asked.name,
        weights=asked.weights,
        command=asked.command,
        harness=f"{HARNESS} {version('inspect_ai')}",
        config=config,
        suites=scores,
    )
    write_json(out / "benchmarks.json", found.model_dump(mode="json"))
    return found


def _claim(out: Path, config: BenchmarkConfig, asked: Subject) -> None:
    """One folder, one model, one config: answers of two are never joined."""
    mine = {"model": asked.name, "weights": asked.weights, "config": config.model_dump(mode="json")}
    path = out / "asked.json"
    if path.exists() and json.loads(path.read_text()) != mine:
        raise ValueError(f"{out} holds answers of another model or config: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, mine)


def _ask(suite: Suite, config: BenchmarkConfig, asked: Subject, log_dir: Path) -> EvalLog:
    endpoint = asked.endpoint
    _, logs = eval_set(
        [suite.task],
        log_dir=str(log_dir),
        model=open_model(endpoint),
        epochs=config.samples,
        temperature=config.temperature,
        seed=config.seed,
        max_tokens=config.max_tokens,
        max_connections=config.max_connections,
        max_retries=endpoint.max_retries,
        timeout=int(endpoint.timeout_s),
        fail_on_error=False,
        retry_attempts=0,
        retry_immediate=False,
        display="none",
        log_level="error",
        log_dir_allow_dirty=True,
        score_display=False,
    )
    log = read_eval_log(logs[0].location)
    if len(log.samples or ()) < len(suite.task.dataset) * config.samples:
        said = log.error.message if log.error else "not every item was asked"
        raise ValueError(f"{HARNESS} ended with {log.status}: {said}; its log: {logs[0].location}")
    return log


_LAST_TRY = re.compile(r"^[\w.]*\.(\w+Error: .*)$", re.MULTILINE)
_SCHEMA = {"num_tokens": pl.Int64, "sample": pl.Int64}


def _rows(name: str, suite: Suite, log: EvalLog) -> Iterator[dict[str, object]]:
    """In the order of the items, whatever the order of the answers."""
    place = {sample.id: index for index, sample in enumerate(suite.task.dataset)}
    for sample in sorted(log.samples or [], key=lambda s: (place[s.id], s.epoch)):
        score = next(iter((sample.scores or {}).values()), None)
        said = _error(sample)
        too_long = bool(TOO_LONG.search(said))
        broken = score is None and not too_long
        passed = score is not None and score.value == 1.0
        reason = score.explanation or "" if score else "context" if too_long else f"error: {said}"
        yield {
            "suite": name,
            "category": str(sample.metadata[CATEGORY]),
            "item": str(sample.id),
            "sample": sample.epoch - 1,
            "passed": passed,
            "faulty": broken or bool((score.metadata or {}).get("faulty") if score else False),
            "reason": reason[:300],
            "prompt": _text(sample.input)[:_LONGEST_KEPT],
            "answer": _answer(sample)[:_LONGEST_KEPT],
            "num_tokens": _tokens(sample),
        }


def _error(sample: EvalSample) -> str:
    """Why there is no verdict; of what was tried again, what the last try ended with."""
    if sample.error is None:
        return ""
    last = _LAST_TRY.search(sample.error.traceback)
    return last[1] if last and "RetryError" in sample.error.message else sample.error.message


def _score(name: str, suite: Suite, log: EvalLog, rows: pl.DataFrame) -> SuiteScore:
    right = rows.filter(~pl.col("faulty"))
    samples = log.samples or []
    cut = sum(_stop(sample) in ("max_tokens", "token_budget", "context") for sample in samples)
    return SuiteScore(
        group=SUITES[name],
        source=suite.source,
        data=suite.data,
        rate=_rate(right),
        categories={
            category: _rate(right.filter(pl.col("category") == category))
            for category in dict.fromkeys(rows["category"])
        },
        cut_off=rate_of(cut, len(samples)),
        valid_calls=_valid_calls(samples),
        faulty=len(rows) - len(right),
        faults=_count(rows.filter(pl.col("faulty"))),
        reasons=_count(right.filter(~pl.col("passed"))),
    )


def _count(rows: pl.DataFrame) -> dict[str, int]:
    """Reasons, the commonest first."""
    found = Counter(rows["reason"].to_list())
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _rate(rows: pl.DataFrame) -> Rate:
    return clustered_rate(rows["item"].to_list(), rows["passed"].to_list())


def _valid_calls(samples: Sequence[EvalSample]) -> Rate | None:
    """Of declared tools' calls; a dialogue of ours counted its own."""
    made = valid = 0
    for sample in samples:
        if "calls" in sample.metadata:
            made += sample.metadata["calls"]
            valid += sample.metadata["valid_calls"]
        elif "tools" in sample.metadata:
            tools = declared_tools(sample.metadata["tools"])
            calls = (sample.output.message.tool_calls or []) if sample.output.choices else []
            made += len(calls)
            valid += sum(not c.parse_error and fits(c.function, c.arguments, tools) for c in calls)
    return rate_of(valid, made) if made else None


def _stop(sample: EvalSample) -> str:
    if "stop" in sample.metadata:
        return str(sample.metadata["stop"])
    return str(sample.output.stop_reason) if sample.output.choices else ""


def _tokens(sample: EvalSample) -> int:
    if "tokens" in sample.metadata:
        return int(sample.metadata["tokens"])
    return sample.output.usage.output_tokens if sample.output.usage else 0


def _text(prompt: object) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message.text for message in prompt)  # type: ignore[attr-defined]


def _answer(sample: EvalSample) -> str:
    if "stop" in sample.metadata:  # a dialogue: all of it
        return "\n".join(f"{message.role}: {message.text}" for message in sample.messages)
    if not sample.output.choices:
        return ""
    calls = sample.output.message.tool_calls or []
    lines = [json.dumps({"name": c.function, "arguments": c.arguments}) for c in calls]
    return "\n".join([sample.output.completion, *lines])
