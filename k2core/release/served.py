"""The server that people will start, on the very folder that is released: does it keep its word?"""

from collections.abc import Callable
from pathlib import Path

from k2core.serving import Figures, list_requests, verify_endpoint
from k2core.serving.process import NAME, serving
from k2core.serving.wire import Asking
from schemas.endpoint import Endpoint

_TIMEOUT_S = 120.0
_TOKENS = 64
"""Of an answer, at most."""


class ServingError(RuntimeError):
    """The released model's server breaks what it promises."""


def check_serving(
    folder: Path, count: int, answers: Path, log: Path, progress: Callable[[int, int], None]
) -> Figures:
    """Ask a server of `k2 serve`'s kind so many requests, each whole and as a stream.

    Args:
        folder: the released model.
        count: requests: first calls, later turns, tools that do not fit.
        answers: where they are kept.
        log: where the server's own words are kept.
        progress: told how many of how many were asked.

    Raises:
        ServingError: schemas, ids, finish reasons or streams are not as they must be.
    """
    with serving(folder, log) as url:
        endpoint = Endpoint(url=url, model=NAME, timeout_s=_TIMEOUT_S, max_concurrent=count)
        asked = list_requests(count, seed=0)
        how = Asking(_TOKENS, 0)
        figures = verify_endpoint(endpoint, asked, answers, how, progress=progress).figures
    if not figures.keeps_its_word:
        faults = "; ".join((*figures.breaches, *figures.faults))
        raise ServingError(
            f"{folder.name}, served: of {figures.asked} requests {figures.answered} were answered, "
            f"{figures.equal_streams} as a stream the same, {figures.right_finishes} with the "
            f"right finish; of {figures.calls} calls {figures.valid_calls} fit their schema and "
            f"{figures.right_ids} have the right id. {faults}"
        )
    return figures
