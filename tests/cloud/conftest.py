"""A server as ThingsBoard keeps one, and `halow-cloud` run against it on a small fleet."""

import pytest
from click.testing import CliRunner
from small_fleet import FLEET, PEM, SMALL
from thingsboard_rest import ThingsBoardRest

from cloud import templates
from cloud.provision.cli import root


@pytest.fixture
def server():
    with ThingsBoardRest() as running:
        yield running


@pytest.fixture
def cloud(server, tmp_path, monkeypatch):
    """Run a command on a fleet file; returns (status, output)."""
    monkeypatch.setattr(templates, "load", lambda: SMALL)
    (tmp_path / "password").write_text(server.password + "\n")
    (tmp_path / "gw-2.pem").write_text(PEM)
    (tmp_path / "fleet.toml").write_text(FLEET)

    def run(command, *options, fleet=None, file="fleet.toml", at=server):
        if fleet is not None:
            (tmp_path / file).write_text(fleet)
        login = ["--url", at.url, "--user", server.user, "--password-file", str(tmp_path / "password")]
        # The root's own main, so that the exit status is the process's.
        done = CliRunner().invoke(root, [command, *login, str(tmp_path / file), *map(str, options)])
        assert server.password not in done.output
        return done.exit_code, done.output
    run.folder = tmp_path
    return run
