"""`link config`, as somebody sets a radio up with it."""

from pathlib import Path

from cli_site import Site


def test_a_file_with_a_secret_that_is_never_shown(site: Site, tmp_path: Path) -> None:
    key, file = tmp_path / "key", tmp_path / "sta.conf"
    key.write_text("correct horse\n")
    words = ("link", "config", "sta", "--country", "AU", "--site", "CO", "--ssid", "meters", "--passphrase-file", str(key))
    shown = site(*words).stdout
    assert "sae_password=<not shown>" in shown
    written = site(*words, "--output", str(file))
    assert written.exit_code == 0
    assert f"{file}: for wpa_supplicant_s1g" in written.output
    assert "warning: CO: no vendor's table has it" in written.output
    assert b"correct horse".hex() in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    refused = site("link", "config", "ap", "--country", "CO", "--ssid", "meters", "--security", "owe")
    assert refused.exit_code == 1
    assert "country 'CO': hostapd_s1g 1.12.4 has no channels for it" in refused.output
