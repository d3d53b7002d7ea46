"""Under which licence a brought model is, by the head of its card."""

import yaml

from k2core.adopt.places import CheckpointSource

NOT_STATED = "not stated by its source"


def read_license(source: CheckpointSource, stated: str) -> str:
    """What the user states, else what the card's metadata says."""
    if stated or "README.md" not in source.names:
        return stated or NOT_STATED
    text = source.fetch("README.md").read_text(errors="replace")
    parts = text.split("---", 2)
    try:
        head = yaml.safe_load(parts[1]) if text.startswith("---") and len(parts) == 3 else None
    except (yaml.YAMLError, ValueError, RecursionError):  # dates that are none, brackets on end
        head = None
    if not isinstance(head, dict):
        return NOT_STATED
    return str(head.get("license_name") or head.get("license") or NOT_STATED)
