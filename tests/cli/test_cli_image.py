"""`meter image`: what is put on flash, what is asked of the gateway, how a transfer is told."""

import datetime as dt
import hashlib
import json
from typing import Any

import pytest
from cli_site import Site

from edge.commands import image as command
from edge.commands.image import text

ALLOW = "[image]\nallow = true\n"
GOING: dict[str, Any] = {"phase": "transfer", "identifier": "fw-2", "size_bytes": 9, "sha256": "", "activate_at_ms": None, "why": "",
                         "blocks": 5, "blocks_missing": 2}


@pytest.fixture
def file(site: Site) -> str:
    site.configure(ALLOW)
    site.state_dir.mkdir()
    path = site.base / "fw.bin"
    path.write_bytes(b"firmware!")
    return str(path)


def test_an_image_is_stored_and_ordered(site: Site, file: str) -> None:
    digest = hashlib.sha256(b"firmware!").hexdigest()
    with site.daemon(image=GOING) as asked:
        shown = site.good("meter", "image", "m1", "--file", file, "--identifier", "fw-2", "--sha256", digest.upper())
        site.good("meter", "image", "m1", "--file", file, "--identifier", "hex:00ff", "--activate", "--yes")
    assert shown == "m1: is being sent: fw-2 (9 bytes), 3 of 5 blocks\n"
    first, second = asked
    assert (first["do"], first["meter"], first["identifier"], first["sha256"], first["size_bytes"]) == (
        "start", "m1", b"fw-2".hex(), digest, 9)
    assert "at_ms" not in first
    assert (second["identifier"], second["at_ms"], second["confirm"]) == ("00ff", 0, "m1")
    assert (site.state_dir / "images" / digest).read_bytes() == b"firmware!"


def test_the_other_requests(site: Site, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "sys", type("S", (), {"stdin": type("T", (), {"isatty": staticmethod(lambda: True)})}))
    with site.daemon(image=GOING) as asked:
        assert json.loads(site.good("meter", "image", "m1", "--json")) == GOING
        site.good("meter", "image", "m1", "--abort")
        site.good("meter", "image", "m1", "--activate", stdin="m1\n")
        site.good("meter", "image", "m1", "--at", "2026-12-01T02:00:00+01:00", "--yes")
    assert [each["do"] for each in asked] == ["status", "abort", "activate", "activate"]
    assert asked[2]["confirm"] == "m1"
    assert asked[3]["at_ms"] == dt.datetime(2026, 12, 1, 1, tzinfo=dt.UTC).timestamp() * 1000


@pytest.mark.parametrize(("words", "why"), [
    (["--file", "{file}"], "--file needs --identifier"), (["--identifier", "x"], "belong to --file"), (["--abort", "--activate"], "goes alone"),
    (["--at", "tomorrow", "--yes"], "write it like"), (["--at", "2026-12-01T02:00:00", "--yes"], "with its distance from UTC"),
    (["--activate"], "no terminal to ask at"),
])
def test_wrong_usage(site: Site, file: str, words: list[str], why: str) -> None:
    assert why in site.misused("meter", "image", "m1", *(word.format(file=file) for word in words))


def test_what_is_refused_before_anything_is_stored(site: Site, file: str) -> None:
    order = ("meter", "image", "m1", "--identifier", "x", "--file")
    assert "its SHA-256 is" in site.refused(*order, file, "--sha256", "00")[0]
    (site.base / "empty").write_bytes(b"")
    assert "is empty; this is no image" in site.refused(*order, str(site.base / "empty"))[0]
    site.configure()
    assert "this gateway sends no images" in site.refused(*order, file)[0]
    assert not (site.state_dir / "images").exists()
    site.configure(ALLOW)
    assert "no gateway is running here" in site.refused(*order, file)[0]


@pytest.mark.parametrize(("changes", "told"), [
    ({"phase": "none"}, "no image was sent to it"), ({"phase": "verified", "blocks": None}, "has verified fw-2 (9 bytes)"),
    ({"phase": "verified", "activate_at_ms": 1_796_086_800_000}, "has verified fw-2 (9 bytes), to be activated at 2026-12-01T01:00:00+00:00"),
    ({"phase": "active"}, "runs fw-2 (9 bytes)"), ({"phase": "failed", "why": "bad"}, "did not take fw-2 (9 bytes); bad"),
    ({"phase": "aborted", "why": "by x"}, "was to get fw-2 (9 bytes), given up; by x"),
    ({"phase": "verify", "trouble": "silence"}, "is verifying fw-2 (9 bytes); silence"), ({"phase": "activate"}, "is activating fw-2 (9 bytes)"),
])
def test_how_a_transfer_is_told(changes: dict[str, Any], told: str) -> None:
    answer = {key: value for key, value in (GOING | changes).items() if key not in ("blocks", "blocks_missing")}
    assert text(answer) == told
