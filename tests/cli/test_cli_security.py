"""Keys and security settings by command: by file or prompt, never by argument, never shown."""

import json
from pathlib import Path

import pytest
from cli_site import Site

from edge.model import Keys

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def written(site: Site, name: str, content: bytes) -> str:
    path = site.base / name
    path.write_bytes(content)
    return str(path)


def test_add_with_keys_then_show_edit_and_clear(site: Site) -> None:
    text = site.good("meter", "add", "m", "10.0.0.1", "--authentication", "hls-gmac", "--security", "both", "--security-suite", "0",
                     "--ciphering", "glo", "--meter-title", "475258000001E240", "--counter-obis", "0-0:43.1.3.255",
                     "--encryption-key-file", written(site, "ek", EK.hex(" ").encode() + b"\n"))
    assert "set-key m authentication" in text
    assert "set-key m encryption" not in text
    assert "set-password" not in text
    site.good("meter", "set-key", "m", "authentication", "--file", "-", stdin=AK)
    with site.registry() as registry:
        assert registry.keys("m") == Keys(EK, AK)
        assert registry.get("m").meter_title == "475258000001e240"
        title = registry.client_title().hex()
    shown = site.good("meter", "show", "m")
    assert f"client_title     {title}  (gateway)" in shown
    assert "encryption key   set" in shown
    assert "authentic. key   set" in shown
    as_json = site.good("meter", "show", "m", "--json")
    assert json.loads(as_json)["encryption_key_set"] is True
    for text in (shown, as_json, site.good("meter", "list", "--json"), site.good("meter", "export")):
        assert EK.hex() not in text
        assert AK.hex() not in text
    site.good("meter", "edit", "m", "--unset", "counter_obis", "--unset", "meter_title", "--security", "authenticated",
              "--security-suite", "1")
    site.good("meter", "set-key", "m", "encryption", "--clear")
    with site.registry() as registry:
        assert registry.keys("m") == Keys(b"", AK)
        meter = registry.get("m")
        assert (meter.counter_obis, meter.meter_title, meter.security, meter.security_suite) == ("", "", "authenticated", 1)


def test_secret_of_high_level_security_is_asked_for(site: Site) -> None:
    assert "It wants a secret: halow-gateway meter set-password m" in site.good(
        "meter", "add", "m", "h", "--authentication", "hls-sha256")


@pytest.mark.parametrize("content", [b"", b"00112233", b"x" * 15, b"zz" * 16, b"0" * 33, b"1" * 40])
def test_what_is_no_key_is_refused_without_showing_it(site: Site, content: bytes) -> None:
    site.good("meter", "add", "m", "h")
    [line] = site.refused("meter", "set-key", "m", "encryption", "--file", written(site, "k", content))
    assert line == "this is no key: it must be 32 hexadecimal digits, or 64 for security suite 2" or "empty" in line


@pytest.mark.parametrize(("content", "key"), [
    (EK.hex().encode(), EK), (EK.hex().upper().encode() + b"\r\n", EK), (EK.hex("-").encode(), EK), (AK, AK), (AK + EK, AK + EK),
    ((AK + EK).hex().encode() + b"\n", AK + EK),
])
def test_a_key_is_taken_in_digits_or_as_it_is(site: Site, content: bytes, key: bytes) -> None:
    """32 hexadecimal digits are 16 bytes, not a key of 32."""
    site.good("meter", "add", "m", "h")
    site.good("meter", "set-key", "m", "encryption", "--file", written(site, "k", content))
    with site.registry() as registry:
        assert registry.keys("m").encryption == key


def test_keys_never_come_by_argument(site: Site) -> None:
    site.good("meter", "add", "m", "h")
    assert "No such option" in site.misused("meter", "add", "n", "h", "--encryption-key", EK.hex())
    assert "unexpected extra argument" in site.misused("meter", "set-key", "m", "encryption", EK.hex())
    assert "no terminal to ask at" in site.misused("meter", "set-key", "m", "encryption")
    assert "exclude each other" in site.misused("meter", "set-key", "m", "encryption", "--clear", "--file", "-")
    assert "only one secret" in site.misused("meter", "add", "n", "h", "--encryption-key-file", "-", "--password-file", "-")
    assert site.refused("meter", "set-key", "other", "encryption", "--file", written(site, "k", EK))[0].startswith("no meter is named")


def test_read_says_which_key_is_missing(site: Site) -> None:
    site.good("meter", "add", "m", "127.0.0.1", "--authentication", "hls-gmac", "--security", "both")
    [line] = site.refused("read", "m")
    assert line == ("meter m: its security needs an encryption key and none is stored: "
                    "halow-gateway meter set-key m encryption")
