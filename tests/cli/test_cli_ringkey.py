"""`check` says whether the key of an encrypted ring is there, and opens what is on flash."""

import json

import pytest
from cli_site import Site

from edge.clock import SystemClock
from edge.config import RingSettings
from edge.model import Stream
from edge.ring.store import Ring

SEALED = RingSettings(size_mib=24, slot_mib=0.25, encrypt=True)


def told(site: Site, more: str) -> list[dict[str, str]]:
    site.configure(more)
    findings = json.loads(site("check", "--json").stdout)
    return [found for found in findings if "ring.key" in found["text"] or "encrypted" in found["text"]]


async def test_the_key_is_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.ring.key.COMMAND_PAUSE_S", 0.0)
    key = site.state_dir / "ring.key"
    assert told(site, "encrypt = true\n") == [{"level": "good", "text": f"ring: encrypted, its key: {key}"}]
    assert not key.exists(), "looking makes none"
    async with Ring.open(site.state_dir / "ring", SEALED, SystemClock()) as ring:
        assert ring.status().streams[Stream.ALARM.name.lower()].slots
    for encrypt in ("true", "false"):
        assert all(found["level"] == "good" for found in told(site, f"encrypt = {encrypt}\n"))
    key.write_text("ab" * 32)
    for encrypt in ("true", "false"):
        (found,) = told(site, f"encrypt = {encrypt}\n")
        assert found["level"] == "bad"
        assert f"is encrypted with another key than {key} has" in found["text"]
    (found,) = told(site, 'key_command = "/bin/false"\n')
    assert found == {"level": "bad", "text": "ring.key_command (/bin/false): ended with status 1"}
