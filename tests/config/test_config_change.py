"""What of a settings file can be taken up while the gateway runs, and what is shown of it."""

import msgspec
import pytest

from edge.config import OtaSettings, Settings, UplinkSettings
from edge.configchange import REACH, compare, keys_of, merge, reach_of
from edge.configfile import contradictions
from edge.confighistory import LIMIT, Entry, add, read
from edge.daemon.applying import Applying
from edge.errors import ConfigError
from edge.redaction import COMMANDS, HIDDEN


def test_what_needs_a_restart_stays_as_it_is_and_the_rest_is_taken():
    in_force = Settings()
    wanted = msgspec.convert({"poll": {"interval_s": 5.0}, "ring": {"size_mib": 512, "elide": False}, "uplink": {"host": "tb", "enabled": False}},
                             Settings)
    merged = merge(in_force, wanted)
    assert [each.key for each in merged.applied] == ["poll.interval_s", "uplink.host"]
    assert [each.key for each in merged.needs_restart] == ["ring.size_mib", "ring.elide", "uplink.enabled"]
    assert (merged.settings.ring, merged.settings.uplink) == (in_force.ring, UplinkSettings(host="tb"))
    assert merge(merged.settings, wanted).applied == ()
    assert compare(merged.settings, merged.settings) == ()


def test_a_mixture_may_be_wrong_where_both_files_are_right():
    in_force = Settings(uplink=UplinkSettings(dialect="mqtt"))
    wanted = Settings(uplink=UplinkSettings(provision_key="key"))
    assert contradictions(in_force) == contradictions(wanted) == []
    assert len(contradictions(merge(in_force, wanted).settings)) == 1


def test_no_secret_is_shown_of_a_change():
    secret = Settings(uplink=UplinkSettings(username="s3cret"), ota=OtaSettings(reboot_command="/bin/x s3cret"))
    assert [each.shown() for each in compare(Settings(), secret)] == [
        {"key": "uplink.username", "before": "", "after": HIDDEN}, {"key": "ota.reboot_command", "before": "", "after": f"/bin/x {HIDDEN}"}]


def test_no_command_path_or_permission_may_come_from_the_server():
    values = dict(keys_of(Settings()))
    remote = {key for key in values if reach_of(key) == "remote"}
    assert not remote & COMMANDS
    assert not [key for key in remote if key.endswith(("_file", "_dir", ".file", ".trace", ".listen", ".allow", ".subnet", "username"))]
    assert not [key for key in remote if key.partition(".")[0] in (
        "relay", "orders", "remote", "clock_sync", "recovery", "ring", "api", "clock")]
    assert reach_of("poll.unknown") == "restart"


def test_every_section_that_can_change_has_a_row_where_the_parts_are_told():
    live = {key.partition(".")[0] for key, reach in REACH.items() if reach != "restart"}
    elsewhere = {"poll", "duties", "clock_sync", "alarms"}      # the fleet, its errands, the judgement: see `apply`
    on_demand = {"api"}                                          # the page asks what is in force
    assert live <= set(Applying(None, None, None, None).rows) | elsewhere | on_demand


def test_the_history_is_bounded_and_survives_what_is_no_history(tmp_path):
    assert read(tmp_path) == ()
    for number in range(LIMIT + 3):
        add(tmp_path, Entry(number, "signal", "applied", ({"key": "poll.interval_s", "before": 1.0, "after": 2.0},)))
    kept = read(tmp_path)
    assert ([kept[0].at_ms, kept[-1].at_ms], len(kept)) == ([3, LIMIT + 2], LIMIT)
    assert kept[-1].words() == "poll.interval_s 1.0 -> 2.0"
    add(tmp_path, Entry(0, "signal", "applied", tuple({"key": f"k{n}", "before": 1, "after": 2} for n in range(60))))
    assert (len(read(tmp_path)[-1].changes), read(tmp_path)[-1].detail) == (50, "and 10 more keys")
    (tmp_path / "config-history.json").write_text("[{")
    with pytest.raises(ConfigError, match="is damaged"):
        read(tmp_path)
    add(tmp_path, Entry(7, "signal", "applied"))
    assert [entry.at_ms for entry in read(tmp_path)] == [7]
