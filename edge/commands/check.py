"""`halow-gateway check`: will it work here? Looks at settings and surroundings and says what to do; changes nothing."""

import functools
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from edge.commands.checkalarms import alarm_findings
from edge.commands.checkpage import page_findings
from edge.commands.checkremote import remote_findings
from edge.commands.checkuplink import uplink_findings
from edge.commands.context import State, pass_state, told_on_screen
from edge.commands.finding import Finding
from edge.config import MIB, Settings
from edge.endpoint import SerialLine, endpoint, where
from edge.errors import ConfigError, EdgeError, RingLocked
from edge.model import Meter

NET = Path("/sys/class/net")
_may = functools.partial(os.access, effective_ids=True)      # root looks as the state directory's owner
_MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON: a list of findings, each good, note or bad.")
@pass_state
def check(state: State, as_json: bool) -> int:
    """Look at settings and surroundings; say what is wrong and what to do.

    Exits with 0 when the gateway can run, 1 when something marked BAD stands in its way. Run it as the gateway's user.
    """
    failed = False
    told_on_screen(state, "edge.meters.library")
    if as_json:
        import msgspec

        findings = [{"level": found.level, "text": line}
                    for found in examine(state) for line in found.text.splitlines()]
        click.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
        return int(any(found["level"] == "bad" for found in findings))
    for finding in examine(state):
        failed |= finding.level == "bad"
        for line in finding.text.splitlines():
            click.echo(f"{_MARKS[finding.level]}  {line}")
    return int(failed)


def examine(state: State) -> Iterator[Finding]:
    """Yield what is found, step by step; each step stands alone, so that one run shows everything."""
    path = state.config_path()
    try:
        settings = state.settings()
    except ConfigError as error:
        yield Finding("bad", str(error))
        return
    yield Finding("good", f"settings: {path}" if path else "settings: built-in defaults, no file")
    settings = state.in_force().settings
    for step in (remote_findings, _state_dir, _registry, _push, uplink_findings, _radio, alarm_findings,
                 page_findings, _clock, _daemon):
        yield from _guarded(step, settings, state)


def _guarded(
    step: Callable[[Settings, State], Iterator[Finding]], settings: Settings, state: State,
) -> Iterator[Finding]:
    try:
        yield from step(settings, state)
    except EdgeError as error:
        yield Finding("bad", str(error))
    except OSError as error:      # a directory on the way that this user may not look into
        yield Finding("bad", f"{error.filename}: {error.strerror}; run this as the gateway's user")


def _state_dir(settings: Settings, _: State) -> Iterator[Finding]:
    for key, name in (("state_dir", settings.gateway.state_dir), ("runtime_dir", settings.gateway.runtime_dir)):
        directory = Path(name)
        nearest = next(parent for parent in (directory, *directory.parents) if parent.exists())
        if not nearest.is_dir() or not _may(nearest, os.W_OK | os.X_OK):
            yield Finding("bad", f"gateway.{key} = {directory}: {nearest} cannot be written; create it for this user")
        elif nearest != directory:
            yield Finding("good", f"gateway.{key} = {directory}: will be made at the first start")
        elif stat.S_IMODE(directory.stat().st_mode) & 0o022:
            yield Finding("note", f"gateway.{key} = {directory}: other users can write there; chmod 700 it")
        else:
            yield Finding("good", f"gateway.{key} = {directory}")
        if (directory / "restoring/commit.json").exists():
            yield Finding("bad", f"gateway.{key}: a restore was cut; `halow-gateway restore` it again, as root")
        if key == "state_dir":
            yield from _space(nearest, settings)
            yield from _ring_key(settings)


def _space(nearest: Path, settings: Settings) -> Iterator[Finding]:
    ring = Path(settings.gateway.state_dir) / "ring"
    if ring.exists() and not (ring.is_dir() and _may(ring, os.R_OK | os.W_OK | os.X_OK)):
        yield Finding("bad", f"{ring}: cannot be written; give it to this user")
    taken = sum(file.stat().st_blocks * 512 for file in ring.rglob("*") if file.is_file()) if ring.is_dir() else 0
    space = os.statvfs(nearest)
    free_mib, wanted_mib = space.f_bavail * space.f_frsize // MIB, settings.ring.size_mib - taken // MIB
    if free_mib < wanted_mib:
        yield Finding("bad", f"ring.size_mib = {settings.ring.size_mib}: wants {wanted_mib} MiB more and {nearest} has "
                             f"{free_mib} MiB left; free some, or make it smaller")
    else:
        yield Finding("good", f"ring: {settings.ring.size_mib} MiB, {free_mib} MiB free")


def _ring_key(settings: Settings) -> Iterator[Finding]:
    from edge.ring.key import KeyFile, key_port
    from edge.ring.look import RingLook

    directory = Path(settings.gateway.state_dir) / "ring"
    port = key_port(settings.ring, directory)
    try:
        if directory.is_dir():
            RingLook(directory, key=port)      # what is encrypted is opened by the key, also when no more is to be
        if not settings.ring.encrypt:
            return
        if not (isinstance(port, KeyFile) and not port.path.exists()):
            port.key(fresh=False)
    except RingLocked as locked:
        yield Finding("bad", str(locked))
    else:
        yield Finding("good", f"ring: encrypted, its key: {port.where}")


def _registry(settings: Settings, state: State) -> Iterator[Finding]:
    from edge.store.registry import FILE_NAME

    profiles = state.library(settings)
    yield Finding("good", f"profiles: {', '.join(sorted(profiles))}")
    yield from (Finding("bad", problem) for problem in profiles.problems.values())
    if not (Path(settings.gateway.state_dir) / FILE_NAME).exists():
        yield Finding("note", "registry: none yet; `halow-gateway meter add` makes it")
        return
    with state.registry(settings) as registry:
        meters, secret = registry.list(), registry.with_password()
    if not meters:
        yield Finding("note", "registry: no meters yet; `halow-gateway meter add NAME HOST` registers one")
        return
    yield Finding("good", f"registry: {len(meters)} meters, {sum(meter.paused for meter in meters)} of them paused")
    for meter in meters:
        profile = profiles.get(meter.profile)
        if profile is None:
            yield Finding("bad", f"meter {meter.name}: no profile is named {meter.profile}; "
                                 f"halow-gateway meter edit {shlex.quote(meter.name)} --profile ...")
        elif not meter.paused and meter.name not in secret and (
                meter.authentication or profile.association.authentication) == "lls":
            yield Finding("bad", f"meter {meter.name}: no password; "
                                 f"halow-gateway meter set-password {shlex.quote(meter.name)}")
    yield from _twins(meters)
    yield from _lines(meters)


def _twins(meters: tuple[Meter, ...]) -> Iterator[Finding]:
    """A meter serves one client at a time, so two names for one address keep each other out."""
    at: dict[tuple[str, int | None, int | None], list[str]] = {}
    for meter in meters:
        place = where(meter.host, meter.port), meter.server_logical, meter.server_physical
        at.setdefault(place, []).append(meter.name)
    for (address, *_), names in at.items():
        if len(names) > 1:
            yield Finding("note", f"meters {', '.join(names)}: have one address, {address}; is one of them wrong?")


def _lines(meters: tuple[Meter, ...]) -> Iterator[Finding]:
    """Serial lines of this board: there, permitted, and each under one name."""
    from edge.poll.serial import look

    at: dict[SerialLine, list[str]] = {}
    for meter in meters:
        place = endpoint(meter.host, meter.port)
        if isinstance(place, SerialLine) and not meter.paused:
            at.setdefault(place, []).append(meter.name)
    behind: dict[str, str] = {}
    for line, names in at.items():
        if (wrong := look(line)) is not None:
            yield Finding("bad", f"{wrong} ({', '.join(names)})")
            continue
        yield Finding("good", f"serial line: {line.device}, {line.baud} baud {line.format}")
        other = behind.setdefault(os.path.realpath(line.device), line.device)
        if other != line.device:
            yield Finding("bad", f"{line.device} and {other} are one line, and only one of them can be open; give its "
                                 "meters one name")


def _push(settings: Settings, _: State) -> Iterator[Finding]:
    from edge.control import NoDaemon, ask
    from edge.push.listener import LOWEST_FREE, in_the_way

    push = settings.push
    if not push.enabled:
        return
    ports = {f"push.{name}_port": port for name, port in (("tcp", push.tcp_port), ("udp", push.udp_port)) if port}
    told = ", ".join(f"{key} = {port}" for key, port in ports.items())
    if min(ports.values()) < LOWEST_FREE and os.geteuid() != 0:
        yield Finding("bad", f"{told}: ports below {LOWEST_FREE} need a right that the gateway does not have")
        return
    try:
        running = ask(Path(settings.gateway.runtime_dir), "status")["push"]
    except NoDaemon:
        running = {"enabled": True, "problem": in_the_way(push)}
    if not running["enabled"]:
        yield Finding("note", "pushes: the running gateway does not listen for them; halow-gateway config reload")
    elif running["problem"]:
        yield Finding("bad", f"pushes: {running['problem']}")
    else:
        yield Finding("good", f"pushes: {told}, on {push.listen}; the packet filter has to let them in (docs/push.md)")


def _radio(settings: Settings, _: State) -> Iterator[Finding]:
    radio = settings.radio
    wireless = sorted(path.parent.name for path in NET.glob("*/phy80211"))
    if radio.kind == "none":
        yield Finding("note", "radio: not watched, by radio.kind")
    elif radio.kind == "simulated":
        if _may(radio.trace, os.R_OK):
            yield Finding("good", f"radio: replays {radio.trace}")
        else:
            yield Finding("bad", f"radio.trace = {radio.trace}: cannot be read")
    elif radio.kind == "external":
        what = radio.external_file or shlex.split(radio.external_command)[0]
        there = _may(what, os.R_OK if radio.external_file else os.X_OK)
        yield Finding("good" if there else "note", f"radio: a box's, by {what}" + ("" if there else ": not there now"))
    elif radio.interface and radio.interface not in wireless:
        yield Finding("note", f"radio.interface = {radio.interface}: absent; there is {', '.join(wireless) or 'none'}")
    elif not wireless:
        yield Finding("note", "radio: no wireless interface here now; meters are polled all the same")
    else:
        yield Finding("good", f"radio: {radio.interface or ', '.join(wireless)}")


def _clock(settings: Settings, _: State) -> Iterator[Finding]:
    from edge.clock import SystemClock

    if SystemClock(trust_wall=settings.clock.trust_wall).synchronised():
        yield Finding("good", f"clock: {'taken as right' if settings.clock.trust_wall else 'synchronised'}")
    else:
        yield Finding("note", f"clock: not synchronised; records wait up to {settings.clock.hold_s:g} s for it")


def _daemon(settings: Settings, _: State) -> Iterator[Finding]:
    from edge.control import NoDaemon, ask

    try:
        ask(Path(settings.gateway.runtime_dir), "status")
    except NoDaemon:
        yield Finding("note", "gateway: not running")
    else:
        yield Finding("good", "gateway: running")
