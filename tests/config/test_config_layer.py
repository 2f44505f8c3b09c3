"""What ThingsBoard may set over the settings file, and what is kept of it."""

import msgspec
import pytest

from edge.config import PollSettings, RemoteSettings, Settings
from edge.configfile import examine
from edge.configlayer import Kept, Layer, Refused, hash_of, keep, load, look, over, understood
from edge.errors import SettingsError


def refused(layer, file=None):
    with pytest.raises(SettingsError) as error:
        over(file or Settings(), layer)
    return str(error.value).splitlines()


def test_a_layer_lies_over_the_file_and_the_file_over_the_defaults():
    file = Settings(poll=PollSettings(interval_s=30.0, at_once=8))
    settings = over(file, {"poll": {"interval_s": 10}, "gateway": {"log_level": "debug"}})
    assert (settings.poll.interval_s, settings.poll.at_once, settings.gateway.log_level) == (10.0, 8, "debug")
    assert over(file, {}) == file


def test_what_is_not_allowed_is_refused_whole_and_each_with_its_reason():
    assert refused({"poll": {"interval_s": 5, "intervall_s": 5}, "gateway": {"state_dir": "/tmp"}, "ota": {"reboot_command": "/bin/sh"},
                    "uplink": {"host": "elsewhere"}, "remote": {"configurable": ["uplink"]}, "nonsense": {"a": 1}}) == [
        "poll.intervall_s: there is no such setting",
        "gateway.state_dir: is never taken from a server",
        "ota.reboot_command: is never taken from a server",
        "uplink.host: remote.configurable does not name it",
        "remote.configurable: is never taken from a server",
        "nonsense.a: there is no such setting"]
    open_to = Settings(remote=RemoteSettings(configurable=("uplink.host", "uplink.batch_bytes")))
    assert over(open_to, {"uplink": {"host": "elsewhere"}}).uplink.host == "elsewhere"
    assert refused({"uplink": {"port": 1}, "poll": {"at_once": 1}}, open_to) == [
        "uplink.port: remote.configurable does not name it", "poll.at_once: remote.configurable does not name it"]
    assert refused({"uplink": {"batch_bytes": 65_536}}, msgspec.structs.replace(
        open_to, uplink=msgspec.structs.replace(open_to.uplink, window_bytes=1_024, batch_bytes=256))) == [
        "uplink.batch_bytes = 65536: must be at most window_bytes = 1024"], "in the words of `config check`"


def test_what_may_be_named_as_configurable_is_checked_with_the_file():
    problems = examine({"remote": {"configurable": ["poll", "uplink.host", "ring", "alarms.file", "poll.intervall"]}})[1]
    assert [problem.partition("; possible are alarms, ")[0] for problem in problems] == [
        f'remote.configurable: "{name}": nothing of it is taken from a server' for name in ("ring", "alarms.file", "poll.intervall")]


@pytest.mark.parametrize("value", [3, "poll", [], {"poll": 3}, '["poll"]', {"poll": {"x": "y" * 20_000}}])
def test_what_has_no_such_form_is_refused(value):
    with pytest.raises(SettingsError, match=r"^config: "):
        understood(value)


def test_an_attribute_is_known_by_what_it_says_and_no_hash_is_a_number():
    one = {"poll": {"interval_s": 5, "at_once": 2}}
    assert hash_of(one) == hash_of({"poll": {"at_once": 2, "interval_s": 5}}) == hash_of('{"poll": {"at_once": 2,\n "interval_s": 5}}')
    assert hash_of(one) != hash_of({"poll": {"interval_s": 6, "at_once": 2}})
    assert (hash_of(None), understood(None)) == ("", Layer())
    assert hash_of(one).startswith("sha256:")
    assert understood('{"poll": {"interval_s": 5, "at_once": 2}}') == Layer(hash_of(one), one)


def test_what_is_kept_comes_back_and_a_damaged_file_lets_the_settings_file_win(tmp_path):
    assert load(tmp_path) == Kept()
    kept = Kept(Layer("sha256:a", {"poll": {"interval_s": 5}}), Layer("sha256:b", {}), Refused("sha256:c", "rolled_back", "why"))
    keep(tmp_path, kept)
    assert load(tmp_path) == kept
    assert look(tmp_path, Settings()).trial
    keep(tmp_path, Kept(kept.applied))
    assert look(tmp_path, Settings()).settings.poll.interval_s == 5.0
    closed = Settings(remote=RemoteSettings(configurable=()))
    assert look(tmp_path, closed)[:3] == (closed, Layer(), "poll.interval_s: remote.configurable does not name it")
    (tmp_path / "remote-config.json").write_bytes(b'{"applied":')
    assert (look(tmp_path, Settings()).settings, "is damaged" in look(tmp_path, Settings()).problem) == (Settings(), True)
