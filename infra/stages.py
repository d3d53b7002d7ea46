"""What a stage lacks: one word in five places.

`schemas/recipe.py` lists the stages; everything else about them is found by their names.
"""

import ast
from pathlib import Path

from infra.home import ROOT
from schemas.recipe import STAGES


def name_faults(root: Path = ROOT) -> list[str]:
    """A line for each thing that a stage lacks, and for each task that is no stage's."""
    faults = [fault for stage in STAGES for fault in _lacks(stage, root)]
    faults += [
        f"tasks/{path.name} is no stage's: schemas/recipe.py has no section {path.stem!r}"
        for path in sorted((root / "tasks").glob("*.py"))
        if path.stem not in STAGES and "VERSION" in _defined(path)
    ]
    return faults


def _lacks(stage: str, root: Path) -> list[str]:
    config = f"{stage.replace('_', ' ').title().replace(' ', '')}Config"
    needs = {
        f"schemas/{stage}.py": (config,),
        f"tasks/{stage}.py": (stage, "VERSION"),
        f"k2core/{stage}/__init__.py": (),
    }
    faults = []
    for name, words in needs.items():
        if not (root / name).is_file():
            faults.append(f"stage {stage} has no {name}")
        else:
            found = _defined(root / name)
            faults += [
                f"{name} has no {w}: stage {stage} lacks it" for w in words if w not in found
            ]
    if not list((root / "tests" / "k2core" / stage).glob("test_*.py")):
        faults.append(f"stage {stage} has no tests/k2core/{stage}/test_*.py")
    return faults


def _defined(path: Path) -> set[str]:
    """Names that a module defines or imports at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(), str(path)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names
