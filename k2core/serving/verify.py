"""Ask an endpoint all requests, whole and as a stream; what was answered is kept and not asked."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from k2core.serving.figures import Figures, WholeAndStream, summarize
from k2core.serving.requests import ServingRequest
from k2core.serving.wire import Answer, Asking, Wire, as_json
from schemas.endpoint import Endpoint

_MOST_FAULTS = 24
"""Requests in a row without an answer, after which an endpoint is given up."""


class EndpointVerification(NamedTuple):
    """What came of it."""

    figures: Figures
    is_given_up: bool
    """Whether it failed so often in a row that the rest was not asked."""


def verify_endpoint(
    endpoint: Endpoint,
    requests: Sequence[ServingRequest],
    answers: Path,
    how: Asking,
    reference: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EndpointVerification:
    """Ask what is not answered yet, append it to a file, and count all of it.

    Args:
        endpoint: where it is; `max_concurrent` requests are under way together.
        requests: what to ask.
        answers: JSON lines, a request each; made where it is missing.
        how: limits of an answer.
        reference: another endpoint's file of answers: where it calls is where to call.
        progress: told how many of how many are done.

    Raises:
        ValueError: a file of answers that is none; names the line.
    """
    known = _read_answers(answers) if answers.exists() else {}
    _drop_cut_line(answers)
    others = _read_answers(reference) if reference else {}
    calls = {digest: bool(pair.whole.calls) for digest, pair in others.items()}
    left = [request for request in requests if _is_open(known.get(request.digest))]
    done, row = len(requests) - len(left), 0
    answers.parent.mkdir(parents=True, exist_ok=True)
    with answers.open("a", encoding="utf-8") as file:
        for request, pair in _ask_all(Wire(endpoint), left, how, endpoint.max_concurrent):
            known[request.digest] = pair
            file.write(_line(request, pair))
            file.flush()
            done += 1
            row = row + 1 if _is_open(pair) else 0
            progress(done, len(requests))
            if row == _MOST_FAULTS:
                break
    is_given_up = done < len(requests)
    return EndpointVerification(summarize(requests, known, calls), is_given_up)


def _is_open(pair: WholeAndStream | None) -> bool:
    return pair is None or bool(pair.whole.fault or pair.stream.fault)


def _ask_all(
    wire: Wire, requests: Sequence[ServingRequest], how: Asking, most: int
) -> Iterator[tuple[ServingRequest, WholeAndStream]]:
    """Each with its answers as they come; leaving early asks nothing more."""

    def ask(request: ServingRequest) -> WholeAndStream:
        whole = wire.ask(request, how, stream=False)
        return WholeAndStream(whole, whole if whole.fault else wire.ask(request, how, stream=True))

    left = iter(requests)
    under_way: dict[Future[WholeAndStream], ServingRequest] = {}
    pool = ThreadPoolExecutor(most)
    try:
        while True:
            for request in left:
                under_way[pool.submit(ask, request)] = request
                if len(under_way) >= most:
                    break
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield under_way.pop(future), future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _line(request: ServingRequest, pair: WholeAndStream) -> str:
    asked = {"request": request.digest, "name": request.name}
    row = {**asked, "whole": as_json(pair.whole), "stream": as_json(pair.stream)}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _read_answers(path: Path) -> dict[str, WholeAndStream]:
    """Answers by request; a last line that a kill cut off is none."""
    found = {}
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            pair = WholeAndStream(
                Answer.model_validate(row["whole"]), Answer.model_validate(row["stream"])
            )
            found[str(row["request"])] = pair
        except (ValueError, KeyError, TypeError) as error:
            said = str(error).splitlines()[0]
            raise ValueError(f"{path}, line {number}: no line of answers ({said})") from None
    return found


def _drop_cut_line(path: Path) -> None:
    if path.exists():
        whole, newline, _ = path.read_bytes().rpartition(b"\n")
        with path.open("r+b") as file:
            file.truncate(len(whole) + len(newline))
