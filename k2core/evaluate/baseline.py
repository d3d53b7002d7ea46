"""SmolLM2-135M's scores in the same harness: what tiny's are held against, and no run pays for.

`baseline.json` is a `benchmarks.json` as `k2 evaluate` writes it, bound to the digests of weights
and items, to the prompts' form, the harness and the decoding; its `command` asks it again.
"""

from pathlib import Path

from schemas.benchmarks import Benchmarks

BASELINE = Path(__file__).with_name("baseline.json")


def read_baseline() -> Benchmarks:
    """The standing baseline."""
    return Benchmarks.model_validate_json(BASELINE.read_bytes())
