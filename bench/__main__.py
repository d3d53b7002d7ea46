"""`make bench`: run every measurement and print its table."""

import importlib
import pkgutil
import sys

import bench
from bench.table import print_table


def main(names: list[str]) -> None:
    """Run the named measurements, by default all."""
    found = [m.name for m in pkgutil.iter_modules(bench.__path__)]
    apart = {
        "__main__", "contest", "copying", "corpus", "extract", "gpu_checks", "memory",
        "paraphrases", "partial_vllm", "plain", "reference", "rl", "rl_ours", "rl_spec",
        "scale_text", "slots", "soak", "table", "warc",
    }  # fmt: skip
    known = [name for name in found if name not in apart]
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"no bench {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names or known:
        module = importlib.import_module(f"bench.{name}")
        if hasattr(module, "main"):  # prints a table of its own
            module.main()
            continue
        print_table((module.__doc__ or name).splitlines()[0], module.measure())


if __name__ == "__main__":
    main(sys.argv[1:])
