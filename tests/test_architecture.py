"""The house rules, read from the sources: who may import whom, which modules are pure, one importer per foreign package."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from edge.config import Settings
from edge.configchange import REACH, TABLE, keys_of

ROOT = Path(__file__).parent.parent

LEAVES = {"edge", "edge.model", "edge.errors", "edge.config", "edge.endpoint", "edge.templates", "edge.clock", "edge.durable", "edge.identity",
          "edge.credentials", "edge.candidate", "edge.redaction", "edge.rights", "edge.interface"}

# room -> rooms it may import besides the leaves and itself
ALLOWED: dict[str, set[str]] = {
    "edge": set(),
    "edge.model": set(),
    "edge.errors": set(),
    "edge.endpoint": set(),
    "edge.templates": set(),
    "edge.config": set(),
    "edge.configfile": {"edge.configrelations"},
    "edge.configrelations": {"edge.configchange"},
    "edge.configchange": set(),
    "edge.confighistory": set(),
    "edge.configlayer": {"edge.configfile", "edge.configchange"},
    "edge.clock": {"edge.model"},
    "edge.logs": set(),
    "edge.durable": set(),
    "edge.identity": set(),
    "edge.credentials": set(),
    "edge.candidate": set(),
    "edge.redaction": set(),
    "edge.rights": set(),
    "edge.interface": set(),
    "edge.alarms": set(),
    "edge.store": set(),
    "edge.dlms": set(),
    "edge.meters": {"edge.dlms"},
    "edge.poll": {"edge.meters", "edge.dlms", "edge.ring", "edge.health"},
    "edge.errands": {"edge.poll", "edge.meters", "edge.dlms", "edge.health"},
    "edge.ring": set(),
    "edge.uplink": {"edge.ring", "edge.health"},
    "edge.ota": {"edge.uplink"},
    "edge.remote": {"edge.uplink", "edge.logs"},
    "edge.push": {"edge.meters", "edge.dlms"},
    "edge.capture": {"edge.poll", "edge.dlms"},
    "edge.discovery": {"edge.poll", "edge.meters", "edge.dlms"},
    "edge.health": set(),
    "edge.support": {"edge.configfile", "edge.confighistory", "edge.configlayer", "edge.store", "edge.ring", "edge.health", "edge.meters", "halow"},
    "edge.control": set(),
    "edge.api": {"edge.confighistory", "edge.store", "edge.meters", "edge.health", "edge.configfile", "edge.logs"},
    "edge.demo": {"edge.dlms", "edge.meters", "edge.control"},
    "edge.daemon": {"edge.push", "edge.remote", "edge.logs", "edge.ota", "edge.poll", "edge.errands", "edge.meters", "edge.dlms", "edge.uplink", "edge.ring", "edge.store",
                    "edge.health", "halow", "edge.discovery", "edge.api", "edge.alarms", "edge.support", "edge.configfile", "edge.configchange", "edge.confighistory",
                    "edge.configlayer", "edge.control"},
    "edge.app": {"edge.daemon", "edge.ring", "edge.store", "edge.meters", "edge.health", "edge.control", "edge.logs"},
    "edge.commands": {"edge.alarms", "edge.api", "edge.push", "edge.app", "edge.configfile", "edge.configchange", "edge.confighistory", "edge.configlayer", "edge.store", "edge.ring", "edge.poll", "edge.errands", "edge.meters", "edge.dlms",
                      "edge.demo", "edge.discovery", "edge.capture",
                      "edge.control", "edge.logs", "edge.health", "edge.support", "halow"},
    "edge.cli": {"edge.commands", "edge.app", "edge.logs"},
    "edge.__main__": {"edge.cli"},
    "halow": set(),
    "cloud": set(),
}
HALOW_LEAVES = {"halow"}

# dlms: errors only; ring: model and errors (and its settings): the leaves that these rooms may NOT use
FORBIDDEN_LEAVES = {
    "edge.dlms": {"edge.model", "edge.config", "edge.clock"},
    "edge.health": {"edge.config"},
}

PURE = [
    "edge/model.py", "edge/errors.py", "edge/config/*.py", "edge/configchange.py", "edge/configrelations.py", "edge/endpoint.py", "edge/templates.py", "edge/uplink/dialect.py", "edge/uplink/dialects.py", "edge/uplink/plain.py", "edge/uplink/sparkplug*.py",
    "edge/dlms/*.py",
    "edge/meters/reading.py", "edge/meters/objectspec.py", "edge/meters/layout.py", "edge/meters/supply.py", "edge/meters/selftold.py", "edge/meters/push*.py", "edge/meters/events.py",
    "edge/capture/cut.py", "edge/capture/redact.py", "edge/capture/reseal.py", "edge/capture/standin.py",
    "edge/capture/expect.py", "edge/capture/document.py",
    "edge/discovery/doors.py", "edge/discovery/pace.py", "edge/discovery/greeting.py", "edge/discovery/objects.py",
    "edge/discovery/quantities.py", "edge/discovery/fit.py", "edge/discovery/proposal*.py", "edge/discovery/findings.py", "edge/discovery/moved.py",
    "edge/discovery/subnet.py",
    "edge/poll/schedule.py", "edge/poll/recovery.py", "edge/poll/budget.py", "edge/poll/blackout.py",
    "edge/poll/errand.py", "edge/poll/pacing.py", "edge/poll/air.py", "edge/meters/clock.py", "edge/meters/dutyspec.py", "edge/meters/table.py",
    "edge/errands/clock_policy.py", "edge/errands/relay_policy.py", "edge/errands/requests.py", "edge/meters/relay.py",
    "edge/meters/eventlog.py", "edge/errands/image_job.py", "edge/errands/image_checking.py", "edge/meters/image.py",
    "edge/meters/typed.py", "edge/meters/targets.py",
    "edge/meters/ranges.py", "edge/meters/ledger.py", "edge/meters/localtime.py", "edge/meters/loadrows.py", "edge/meters/loadrecord.py",
    "edge/errands/pace.py", "edge/errands/ways.py", "edge/errands/meterclock.py", "edge/errands/backfillstate.py",
    "edge/ring/frame.py", "edge/ring/layout.py", "edge/ring/timebase.py",
    "edge/ring/ackset.py", "edge/ring/losses.py", "edge/ring/dictionary.py", "edge/ring/segment.py", "edge/ring/records.py",
    "edge/uplink/thingsboard.py", "edge/uplink/pace.py", "edge/uplink/poison.py", "edge/uplink/reasons.py",
    "edge/uplink/versions.py", "edge/uplink/paths.py", "edge/uplink/way.py", "edge/uplink/hours.py", "edge/uplink/ration.py", "edge/uplink/traffic.py", "edge/uplink/settling.py", "edge/uplink/arrivals.py", "edge/uplink/nostore.py",
    "edge/uplink/forms.py", "edge/uplink/delivered.py", "edge/uplink/heard.py", "edge/uplink/attributes.py", "edge/uplink/provisionwords.py", "edge/uplink/talk.py", "edge/uplink/flight.py",
    "edge/uplink/presence.py", "edge/uplink/ramp.py", "edge/uplink/bucket.py", "edge/uplink/takeover.py",
    "edge/ota/offer.py", "edge/ota/checksum.py", "edge/ota/chunks.py", "edge/uplink/shared.py", "edge/uplink/proof.py",
    "edge/remote/calls.py", "edge/remote/hands.py",
    "edge/push/[!l]*.py",      # all but the listener
    "edge/redaction.py", "edge/api/limiter.py", "edge/api/sessions.py", "edge/api/problem.py", "edge/api/table.py", "edge/api/openapi.py",
    "edge/api/readings.py", "edge/api/seats.py", "edge/meters/registering.py",
    "edge/alarms/*.py", "edge/logs/fields.py", "edge/logs/parts.py",
    "edge/health/promise.py", "edge/health/openmetrics.py", "edge/health/linkrecords.py", "edge/health/linkalarms.py",
    # all of the simulated meter but meter_tcp, and meter_physics, which draws its phases from the seed
    "edge/demo/meter_[!pt]*.py", "edge/demo/meter_profile.py", "edge/demo/meter_push.py", "edge/demo/meter_timeline.py",
    "edge/demo/story.py", "edge/demo/verdict.py",
    "edge/demo/thingsboard_limits.py", "edge/demo/thingsboard_devices.py", "edge/demo/thingsboard_shared.py", "edge/demo/thingsboard_rpc.py",
    "edge/demo/thingsboard_rules.py", "edge/demo/thingsboard_v311.py",
    "halow/model.py", "halow/quality.py", "halow/s1g.py", "halow/airtime.py", "halow/plan.py", "halow/duty.py", "halow/survey.py", "halow/recovery.py", "halow/health.py", "halow/daemonwords.py", "halow/regions.py", "halow/tracker.py", "halow/trace.py", "halow/table.py",
    "halow/radios/vendor.py",
    "cloud/alarms.py", "cloud/check.py", "cloud/fleetwords.py", "cloud/dashboards/[!s]*.py", "cloud/provision/kinds.py", "cloud/provision/compare.py",
    "cloud/provision/wanted.py", "halow/radios/*_words.py", "halow/extras.py", "halow/daemonconfig.py",
]
IMPURE = {"asyncio", "socket", "os", "time", "random", "threading", "subprocess", "selectors", "ssl", "sqlite3"}

ONE_IMPORTER = {
    "dlms_cosem": {"edge/dlms"},
    "cryptography": {"edge/credentials.py", "edge/demo", "edge/dlms/ciphering.py", "edge/ring/seal.py", "edge/support/sealing.py"},
    "gmqtt": {"edge/uplink/mqtt.py"},
    "msgpack": {"edge/ring/frame.py"},
    "sdnotify": {"edge/health/notify.py"},
    "uvloop": {"edge/app.py"},
    "sqlite3": {"edge/store"},
    "pyroute2": {"halow/nl80211.py"},
    "click": {"edge/cli.py", "edge/commands", "cloud/provision/cli.py"},
    "moat": {"edge/demo"},
    "starlette": {"edge/api"},
    "uvicorn": {"edge/api/server.py", "edge/api/connection.py"},
    "rich": {"edge/cli.py", "edge/commands", "edge/demo"},
}


def sources() -> list[Path]:
    return sorted([*ROOT.glob("edge/**/*.py"), *ROOT.glob("halow/**/*.py"), *ROOT.glob("cloud/**/*.py")])


@cache
def imports(path: Path) -> tuple[str, ...]:
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from edge import app` imports a module of that name when there is one
            for alias in node.names:
                child = ROOT / module.replace(".", "/") / f"{alias.name}.py"
                package = ROOT / module.replace(".", "/") / alias.name / "__init__.py"
                yield f"{module}.{alias.name}" if child.exists() or package.exists() else module


def room(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] in ("halow", "cloud") else ".".join(parts[:2])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return room(".".join(parts))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_what_its_room_may(path: Path) -> None:
    here = room_of(path)
    assert here in ALLOWED, f"{path}: the room {here} stands in no rule"
    for name in imports(path):
        if name.split(".")[0] not in ("edge", "halow", "cloud"):
            continue
        there = room(name)
        if there == here:
            continue
        leaves = set() if here in ("halow", "cloud") else LEAVES - FORBIDDEN_LEAVES.get(here, set())
        assert there in leaves | ALLOWED[here], f"{path} imports {name}: {here} may not import {there}"


@pytest.mark.parametrize("pattern", PURE)
def test_pure_modules_take_time_and_bytes_as_arguments(pattern: str) -> None:
    paths = list(ROOT.glob(pattern))
    assert paths, f"{pattern} matches nothing: move the rule along with the file"
    for path in paths:
        bad = {name.split(".")[0] for name in imports(path)} & IMPURE
        assert not bad, f"{path} is pure and imports {sorted(bad)}"


@pytest.mark.parametrize("package", sorted(ONE_IMPORTER))
def test_foreign_packages_stay_in_their_room(package: str) -> None:
    allowed = ONE_IMPORTER[package]
    found = {str(path.relative_to(ROOT)) for path in sources() if any(n.split(".")[0] == package for n in imports(path))}
    strangers = {name for name in found if not any(name == place or name.startswith(f"{place}/") for place in allowed)}
    assert not strangers, f"{package} is imported by {sorted(strangers)}; only {sorted(allowed)} may"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_module_needs_itself() -> None:
    """Nor by a detour, nor for a type alone: of two files that need each other neither can be understood, or moved, first."""
    graph = {module_of(path): set(imports(path)) for path in sources()}
    order = list(TopologicalSorter(graph).static_order())      # CycleError names the circle
    assert order.index("edge.errors") < order.index("edge.app")


def test_only_declared_third_party_packages_are_imported() -> None:
    known = set(ONE_IMPORTER) | {"msgspec", "edge", "halow", "cloud"} | set(sys.stdlib_module_names)
    for path in sources():
        strangers = {name.split(".")[0] for name in imports(path)} - known
        assert not strangers, f"{path} imports {sorted(strangers)}: a new dependency needs a decision page and a line here"


EXCEPTION = re.compile(r"# (?:noqa|type: ignore)\b.*")
WITH_ITS_REASON = re.compile(r"# (?:noqa: [A-Z0-9]+(?:, [A-Z0-9]+)*|type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\])(?:  #? ?| - )\w")


def test_an_exception_to_a_rule_has_its_reason_beside_it() -> None:
    for path in [path for room in ("edge", "halow", "cloud", "tests", "tools", "benchmarks") for path in ROOT.glob(f"{room}/**/*.py")]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if (found := EXCEPTION.search(line)) and path != Path(__file__):
                assert WITH_ITS_REASON.match(found[0]), f"{path}:{number}: {found[0]}: says no reason"


def test_a_planted_violation_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    from gmqtt import Client\n    import edge.poll.poller\n")
    assert set(imports(planted)) == {"gmqtt", "edge.poll.poller"}
    assert room("edge.poll.poller") == "edge.poll"
    for said in ("# noqa", "# noqa: E731", "# noqa: E402, S608", "# type: ignore", "# type: ignore[arg-type]"):
        assert not WITH_ITS_REASON.match(said)
        assert EXCEPTION.search(f"x = 1  {said}")


def test_every_setting_stands_in_the_table_of_what_can_change_while_the_gateway_runs() -> None:
    keys = [key for section in TABLE.values() for reach in section for key in reach.split()]
    assert len(keys) == len(REACH), "a key stands in two rows of one section in edge/configchange.py"
    known = {key for key, _ in keys_of(Settings())}
    assert known == set(REACH), ("edge/configchange.py says of each setting whether a reload or ThingsBoard may change it: 'restart' is always right; "
                                 "'live' needs a row in edge/daemon/applying.py")


def test_files_stay_small() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in sources() if path.name != "__init__.py")
    assert lengths[-1] <= 400, "a file over 400 lines has more than one job"
    assert lengths[len(lengths) // 2] <= 200
