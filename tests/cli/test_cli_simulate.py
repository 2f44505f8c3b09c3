"""`simulate`: what it refuses, in one line that names the cause."""

import os
import socket
from pathlib import Path

from cli_site import Site


def test_ports_that_do_not_exist_are_wrong_usage(site: Site) -> None:
    assert "there are no 2000 ports from there" in site.misused("simulate", "--port-base", "65000", "--meters", "2000")


def test_a_port_that_is_taken_is_named_with_what_to_do(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        (line,) = site.refused("simulate", "--port-base", port, "--meters", "1", "--for", "1")
    assert port in line
    assert "ddress already in use" in line
    assert line.endswith("another --port-base may be free")


def test_a_csv_file_that_cannot_be_written_is_not_taken_for_a_port(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "none" / "meters.csv"
    (line,) = site.refused("simulate", "--port-base", "0", "--meters", "1", "--for", "1", "--csv", str(path))
    assert line == f"{path}: cannot be written: {os.strerror(2)}"
