"""Suites by name: what is asked, and how an answer is judged. The harness is inspect_ai's."""

from collections.abc import Callable, Mapping
from importlib import import_module

from k2core.evaluate.suites.suite import Bench, Suite
from schemas.benchmarks import SUITES, BenchmarkConfig

__all__ = ["Bench", "Suite", "build_suite"]

Builder = Callable[[BenchmarkConfig, Bench], Suite]


def build_suite(name: str, config: BenchmarkConfig, bench: Bench) -> Suite:
    """A suite's items, with what asks and judges them.

    Raises:
        ValueError: there is no such suite; names those that are.
    """
    if name not in SUITES:
        raise ValueError(f"no suite {name!r}; there are {', '.join(SUITES)}")
    module = import_module(f"k2core.evaluate.suites.{name}")
    builders: Mapping[str, Builder] = {name: module.build}
    return builders[name](config, bench)
