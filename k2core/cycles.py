"""Python's search for cycles of references, put off where there are none to find."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_search_for_cycles(*, stays: bool = False) -> Iterator[None]:
    """Until this ends nothing is searched: to look through all that is loaded costs more each time.

    Args:
        stays: what is made meanwhile is there to stay, as imported modules are, and is never
            searched again.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if stays:
            gc.freeze()
        if was:
            gc.enable()


def search_rarely() -> None:
    """In this process from now on, once in 100,000 new containers in place of 700.

    A process that makes many small objects and few cycles, such as an engine with its requests,
    spends a tenth of its time on the search otherwise.
    """
    gc.set_threshold(100_000, 10, 10)
