"""What `check` says of settings that ThingsBoard has set over the file."""

from collections.abc import Iterator

from edge.commands.context import State
from edge.commands.finding import Finding
from edge.config import Settings


def remote_findings(_settings: Settings, state: State) -> Iterator[Finding]:
    """Yield how many there are, or why they are left out."""
    look = state.in_force()
    if look.problem:
        yield Finding("note", f"settings: what ThingsBoard has set is left out: {look.problem}")
    elif look.layer.settings:
        count = sum(len(keys) for keys in look.layer.settings.values())
        trial = "on trial until the server acknowledges" if look.trial else "`halow-gateway config show` has them"
        yield Finding("note" if look.trial else "good", f"settings: {count} of them set by ThingsBoard; {trial}")
