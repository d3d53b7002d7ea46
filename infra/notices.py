"""Who is told when a run that nobody watches fails."""

import os

from flyte.models import ActionPhase
from flyte.notify import Email, NamedRule, Notification

_BODY = "{{.Run.Name}} of {{.Run.Project}}, {{.Run.Domain}}: {{.Phase}}. {{.Error}}"


def failure_notice() -> NamedRule | Notification | None:
    """Of `K2_NOTIFY`: addresses with commas between, or the name of a rule of the Flyte backend."""
    whom = os.environ.get("K2_NOTIFY", "").strip()
    if not whom:
        return None
    if "@" not in whom:
        return NamedRule(whom)
    return Email(
        on_phase=(ActionPhase.FAILED, ActionPhase.TIMED_OUT),
        recipients=tuple(address.strip() for address in whom.split(",")),
        subject="k2: {{.Run.Name}} {{.Phase}}",
        body=_BODY,
    )
