"""The stack's script against a docker that only writes down what it was told, real openssl, and the compose file read as compose does."""

import os
import re
import signal
import ssl
import subprocess
from pathlib import Path

import pytest

STACK = Path(__file__).parents[2] / "cloud/stack"
DOCKER = """#!/bin/bash
echo "$*" >> "$DOCKER_LOG"
[[ -n ${FAILS:-} && $* == *$FAILS* ]] && exit 1
[[ $* == *pg_dump* ]] && { echo dump; [ -z "${DUMP_HANGS:-}" ] || { echo ready > "$DUMP_HANGS"; sleep 60; }; exit 0; }
[[ $* == *pg_restore* ]] && cat > "$DOCKER_LOG.restored"
[[ $* == *pg_tables* ]] && echo "${TABLES:-0}"
exit 0
"""


@pytest.fixture
def stack(tmp_path):
    """A copy of the stack in a folder of its own; run(*words) -> (status, output), docker's calls in run.calls()."""
    folder = tmp_path / "stack"
    folder.mkdir()
    for name in ("stack", "compose.yml"):
        (folder / name).write_bytes((STACK / name).read_bytes())
    (folder / "stack").chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    log = tmp_path / "docker.log"

    def run(*words, answer="", **extra):
        done = subprocess.run([folder / "stack", *words], input=answer, env=run.environ(**extra), capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr
    run.environ = lambda **extra: {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DOCKER_LOG": str(log), **extra}
    run.folder, run.state = folder, folder / "state"
    run.calls = lambda: [re.sub(r"^compose --project-directory \S+ -f \S+ ", "", line) for line in log.read_text().splitlines()] if log.exists() else []
    return run


def test_a_certificate_is_what_gateways_want_and_is_renewed_by_the_same_authority(stack):
    assert stack("cert", "things.example.org", "192.0.2.7")[0] == 0
    server, authority = stack.state / "certs/server.pem", (stack.state / "certs/ca.pem").read_bytes()
    shown = subprocess.run(["openssl", "x509", "-in", server, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    assert "DNS:things.example.org, IP Address:192.0.2.7" in shown
    assert "prime256v1" in shown and "CA:FALSE" in shown      # noqa: PT018 - one look
    subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", stack.state / "certs/ca.pem", server], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server, stack.state / "certs/server.key")
    before = server.read_bytes()
    assert stack("cert", "things.example.org")[0] == 0
    assert (stack.state / "certs/ca.pem").read_bytes() == authority
    assert server.read_bytes() != before
    subprocess.run(["openssl", "verify", "-CAfile", stack.state / "certs/ca.pem", server], check=True, capture_output=True)


def test_nobody_else_gets_at_secrets_and_none_is_told(stack):
    stack("cert", "things")
    status, output = stack("install")
    password = (stack.state / "postgres.env").read_text().strip().partition("=")[2]
    assert status == 0
    assert len(password) == 48
    assert (stack.state / "thingsboard.env").read_text() == f"SPRING_DATASOURCE_PASSWORD={password}\n"
    assert password not in output + "".join(stack.calls())
    assert stack.state.stat().st_mode & 0o777 == 0o700
    for name in ("postgres.env", "thingsboard.env", "ca.key"):
        assert (stack.state / name).stat().st_mode & 0o077 == 0, name


def test_install_is_done_in_order_and_once(stack):
    assert "no certificate" in stack("install")[1]
    stack("cert", "things")
    assert "nothing is installed" in stack("up")[1]
    assert stack("install")[0] == 0
    assert [call for call in stack.calls() if "version" not in call and "psql" not in call] == [
        "pull", "up -d --wait postgres kafka", "run --rm -e INSTALL_TB=true -e LOAD_DEMO=false thingsboard"]
    assert stack("up")[0] == 0
    assert stack.calls()[-1] == "up -d --wait"
    status, output = stack("install")
    assert status == 1
    assert "installed already" in output


def test_a_backup_is_whole_or_not_there(stack, tmp_path):
    file = tmp_path / "backup"
    for fails, told in (("pg_dump", "no backup was made"), ("pg_restore", "cannot be read back")):
        status, output = stack("backup", file, FAILS=fails)
        assert status == 1
        assert told in output
        assert list(tmp_path.glob("backup*")) == []
    assert stack("backup", file)[0] == 0
    assert file.read_text() == "dump\n"
    assert file.stat().st_mode & 0o077 == 0, "it holds credentials"
    assert "is there already" in stack("backup", file)[1]


def test_a_backup_that_is_interrupted_leaves_nothing_and_touches_nothing_of_others(stack, tmp_path):
    os.mkfifo(tmp_path / "ready")
    going = subprocess.Popen([stack.folder / "stack", "backup", tmp_path / "backup"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=stack.environ(DUMP_HANGS=str(tmp_path / "ready")), start_new_session=True)
    assert (tmp_path / "ready").read_text() == "ready\n"
    os.killpg(going.pid, signal.SIGTERM)
    going.communicate(timeout=60)
    assert going.returncode != 0
    assert list(tmp_path.glob("backup*")) == []
    (tmp_path / "backup.new").mkdir()
    (tmp_path / "backup.new/mine").touch()
    assert stack("backup", tmp_path / "backup")[0] == 1
    assert (tmp_path / "backup.new/mine").exists()


def test_a_backup_that_cannot_be_restored_takes_nothing_away(stack, tmp_path):
    """It is read into a database beside the one in use, and takes its place in one transaction (PostgreSQL, ALTER DATABASE)."""
    stack("cert", "things")
    stack("install")
    (tmp_path / "backup").write_text("du")
    before = len(stack.calls())
    status, output = stack("restore", tmp_path / "backup", "--yes", FAILS="pg_restore")
    assert status == 1
    assert "the database is as it was" in output
    done = stack.calls()[before:]
    assert not any("RENAME" in call or call.endswith("--force thingsboard") or call.startswith("stop") for call in done), done
    before = len(stack.calls())
    assert stack("restore", tmp_path / "backup", "--yes")[0] == 0
    done = [call for call in stack.calls()[before:] if "version" not in call]
    order = [next(number for number, call in enumerate(done) if part in call)
             for part in ("createdb", "pg_restore", "stop thingsboard", "pg_terminate", "RENAME", "--force thingsboard_old")]
    assert order[:-1] == sorted(order[:-1])
    assert done[-2:] == ["exec -T postgres dropdb -U postgres --force thingsboard_old", "up -d --wait"]


@pytest.mark.parametrize(("words", "fails", "extra", "told"), [
    (("install",), "psql", {}, "the database does not answer"),
    (("install",), "", {"TABLES": "1"}, "the database is not empty"),       # ThingsboardInstallService: createSysAdmin fails over what is there
    (("install",), "INSTALL_TB", {}, "the installation failed; ./stack reset"),
    (("install",), "--wait", {}, "did not become healthy"),
])
def test_what_fails_is_told_with_what_to_do(stack, words, fails, extra, told):
    stack("cert", "things")
    status, output = stack(*words, FAILS=fails, **extra)
    assert (status, told in output) == (1, True), output
    assert not (stack.state / "installed").exists()


def test_a_certificate_that_cannot_be_made_is_one_line_and_the_old_one_stays(stack, tmp_path):
    long = ".".join(["a" * 60] * 3) + ".example.org"
    assert stack("cert", long)[0] == 0, "a common name ends at 64 characters, a host name at 253"
    before = (stack.state / "certs/server.pem").read_bytes()
    (tmp_path / "bin/openssl").write_text("#!/bin/bash\necho 'unable to write: No space left on device' >&2\nexit 1\n")
    (tmp_path / "bin/openssl").chmod(0o755)
    status, output = stack("cert", "things")
    assert (status, output) == (1, "stack: openssl req failed: unable to write: No space left on device\n")
    assert (stack.state / "certs/server.pem").read_bytes() == before
    assert list(stack.state.glob("cert.*")) == []


def test_what_deletes_asks_first(stack, tmp_path):
    stack("cert", "things")
    stack("install")
    stack("backup", tmp_path / "backup")
    before = len(stack.calls())
    for words in (("reset",), ("restore", str(tmp_path / "backup"))):
        for answer in ("", "no\n"):
            status, _ = stack(*words, answer=answer)
            assert status == 1
    assert all("version" in call for call in stack.calls()[before:])
    assert stack("restore", str(tmp_path / "backup"), answer="restore\n")[0] == 0
    assert (tmp_path / "docker.log.restored").read_text() == "dump\n"
    assert stack("reset", "--yes")[0] == 0
    assert stack.calls()[-1] == "down --volumes"
    assert (stack.state / "certs/server.pem").exists()
    assert stack("install")[0] == 0, "and it can be installed again"


def test_wrong_words_and_no_docker_are_one_line(stack, tmp_path):
    assert stack("fly")[0] == 2
    assert "neither a host name nor an address" in stack("cert", "a b")[1]
    (tmp_path / "bin/docker").unlink()
    only = tmp_path / "only"
    only.mkdir()
    for tool in ("bash", "sed", "dirname"):
        (only / tool).symlink_to(f"/usr/bin/{tool}")
    status, output = stack("up", PATH=str(only))
    assert (status, len(output.splitlines())) == (1, 1)
    assert "docker is not installed" in output


# ---- the compose file

def read(text):
    """The part of YAML that the file keeps to: maps by two spaces, lists of scalars, quoted or plain."""
    root = {}
    holders = [(-1, root, None, None)]
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        assert indent % 2 == 0, line
        while holders[-1][0] >= indent:
            holders.pop()
        _, holder, parent, name = holders[-1]
        if line.lstrip().startswith("- "):
            if holder == {}:
                holder = parent[name] = []
                holders[-1] = (holders[-1][0], holder, parent, name)
            holder.append(line.strip()[2:].strip('"'))
            continue
        key, colon, value = line.strip().partition(":")
        assert colon and key not in holder, f"twice: {line}"      # noqa: PT018 - one look
        holder[key] = value.strip().strip('"') if value.strip() else {}
        if not value.strip():
            holders.append((indent, holder[key], holder, key))
    return root


COMPOSE = read((STACK / "compose.yml").read_text())
SERVICE_KEYS = {"image", "restart", "env_file", "environment", "volumes", "shm_size", "stop_grace_period", "healthcheck", "depends_on", "ports", "logging"}


def test_the_compose_file_holds_together():
    services = COMPOSE["services"]
    assert set(COMPOSE) == {"name", "services", "volumes"}
    assert set(services) == {"postgres", "kafka", "thingsboard"}
    assert services["postgres"]["image"] == "postgres:16"
    named = {volume.partition(":")[0] for one in services.values() for volume in one["volumes"] if not volume.startswith(".")}
    assert named == set(COMPOSE["volumes"])
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"]), name
        assert service["restart"] == "unless-stopped"
        # Docker keeps all that a container says for ever unless it is told not to (docker/docker-compose.yml of v4.2.2.3 has a limit too).
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "50m", "max-file": "5"}}
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            assert how == {"condition": "service_healthy"}


def test_a_database_that_is_still_being_made_is_not_healthy():
    """While docker-entrypoint.sh of the image makes it, it listens on its socket alone, and is then stopped once more."""
    assert "-h 127.0.0.1" in COMPOSE["services"]["postgres"]["healthcheck"]["test"]


def test_no_secret_and_no_open_door_stand_in_the_compose_file():
    for service in COMPOSE["services"].values():
        for key, value in service["environment"].items():
            assert "PASSWORD" not in key or value == "", key
    doors = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert doors == ["${HTTPS_PORT:-443}:8080", "${MQTTS_PORT:-8883}:8883"]
    environment = COMPOSE["services"]["thingsboard"]["environment"]
    assert (environment["SSL_ENABLED"], environment["MQTT_SSL_ENABLED"], environment["TB_QUEUE_TYPE"]) == ("true", "true", "kafka")


def test_compose_itself_takes_it_where_it_is_installed(stack):
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("docker compose is not installed")
    stack("cert", "things")
    stack("install")
    subprocess.run(["docker", "compose", "-f", stack.folder / "compose.yml", "config", "--quiet"], check=True, cwd=stack.folder)
