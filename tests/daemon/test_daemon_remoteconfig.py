"""Settings from ThingsBoard: tried, kept, refused, taken back; over restarts, cuts at each write, reloads and full disks."""

import asyncio
import errno
import shutil
from contextlib import asynccontextmanager

import pytest

from edge import confighistory, configlayer, durable
from edge.clock import SystemClock
from edge.configfile import load
from edge.configlayer import Kept, hash_of
from edge.daemon.remoteconfig import RemoteConfig
from edge.daemon.settings import SettingsDesk
from edge.errors import ConfigError, EdgeError, SettingsError
from edge.uplink.proof import Proof
from edge.uplink.shared import REQUEST_ID, RESPONSES, UPDATES, SharedAttributes

FAST, SLOW = {"poll": {"interval_s": 5}}, {"poll": {"interval_s": 900}}


class Parts:
    """Stands in for the parts that are told."""

    def __init__(self):
        self.told, self.objection, self.prepared = [], "", 0

    def prepare(self, _settings):
        self.prepared += 1
        if self.objection:
            raise ConfigError(self.objection)

    async def apply(self, _before, after, _conditions):
        self.told.append(after.poll.interval_s)
        return ()


class Life:
    """One life of the gateway: the desk, the worker, and the server's side of the talks by hand."""

    def __init__(self, directory):
        config = directory / "gateway.toml"
        self.desk = SettingsDesk(config, load(config), "id", SystemClock(trust_wall=True))
        self.parts = Parts()
        self.desk.govern(self.parts, lambda record: self.events.append(record.values))
        self.shared, self.proof, self.told, self.events = SharedAttributes(), Proof(), {}, []
        self.news = asyncio.Event()
        self.proof.wake = self.news.set
        self.worker = RemoteConfig(self.desk, self.shared, self.proof, self.tell)
        self.proof.began()

    def tell(self, values):
        self.told = values
        self.news.set()

    @property
    def interval_s(self):
        return self.desk.in_force.poll.interval_s

    def sets(self, value, *, answer=False):
        """The server says what the attribute is; None: there is none."""
        body = {} if value is None else {"config": value}
        raw = configlayer.msgspec.json.encode({"shared": body} if answer else body or {"deleted": ["config"]})
        self.shared.heard(f"{RESPONSES}{REQUEST_ID}" if answer else UPDATES, raw, 0.0)

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def reaches(self, state, why="none"):
        await self.until(lambda: (self.told.get("config_state"), why in self.told.get("config_error", "")) == (state, True))

    async def acknowledges(self):
        """The server takes what is said on the connection."""
        said = None

        def ready():
            nonlocal said
            said = said or self.proof.due(0.0, idle=True, limit_bytes=1_000)
            return said

        await self.until(ready)
        said.answered(0)


class Site:
    """A directory with a settings file; `life` starts a gateway in it, leaving it is a kill."""

    def __init__(self, directory):
        self.directory = directory
        self.write()

    def write(self, *, configurable='["poll"]', trial_s=30, more=""):
        (self.directory / "gateway.toml").write_text(
            f'[gateway]\nstate_dir = "{self.directory}"\n[remote]\nconfigurable = {configurable}\nconfig_trial_s = {trial_s}\n{more}')

    @asynccontextmanager
    async def life(self):
        life = Life(self.directory)
        task = asyncio.create_task(life.worker.run(lambda _s: None))
        try:
            yield life
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), task.exception()

    def outcomes(self):
        return [entry.outcome for entry in confighistory.read(self.directory)]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


async def test_what_the_server_acknowledges_is_kept_over_a_restart_and_goes_with_the_attribute(site):
    async with site.life() as life:
        await life.reaches("none")
        life.sets(FAST, answer=True)
        await life.reaches("trial")
        assert (life.interval_s, life.told["config_hash"]) == (5.0, hash_of(FAST))
        await life.acknowledges()
        await life.reaches("applied")
    async with site.life() as life:
        assert life.interval_s == 5.0, "before anything is heard"
        await life.reaches("applied")
        life.sets(FAST, answer=True)
        life.sets(None)
        await life.reaches("trial")
        assert life.interval_s == 60.0
        await life.acknowledges()
        await life.reaches("none")
        assert life.parts.told == [60.0], "the same again is no change"
    assert site.outcomes() == ["trial", "applied", "trial", "applied"]
    assert configlayer.load(site.directory) == Kept()


async def test_what_is_refused_says_why_and_is_judged_again_only_where_something_changed(site):
    async with site.life() as life:
        life.sets({"poll": {"interval_s": 0}, "ring": {"size_mib": 1}}, answer=True)
        await life.reaches("refused", "ring.size_mib: is never taken from a server")
        for _ in range(3):
            life.sets({"ring": {"size_mib": 1}, "poll": {"interval_s": 0}}, answer=True)      # with each connection
        life.sets({"poll": {"interval_s": 0}})
        await life.reaches("refused", "poll.interval_s = 0: must be a number greater than 0 and at most 86400")
        life.sets({"duties": {"events_interval_s": 60}})
        await life.reaches("refused", "duties.events_interval_s: remote.configurable does not name it")
        assert (life.interval_s, life.parts.told) == (60.0, [])
        site.write(configurable='["duties"]')
        reloading = asyncio.create_task(life.desk.run(lambda _s: None))
        await life.desk.answer({})
        await life.reaches("trial")
        await life.acknowledges()
        await life.reaches("applied")
        # the attribute is right still, and the file allows it no more
        site.write(configurable='["poll"]')
        answer = await life.desk.answer({})
        assert answer["objection"] == "duties.events_interval_s: remote.configurable does not name it"
        await life.reaches("refused", "does not name it")
        assert life.desk.in_force.duties.events_interval_s == 900.0
        reloading.cancel()
        await asyncio.wait({reloading})
    assert site.outcomes().count("refused") == 4


async def test_a_refusal_that_comes_with_each_connection_writes_nothing_more(site, monkeypatch):
    written, write = [], durable.write_file
    monkeypatch.setattr(configlayer, "write_file", lambda path, data, **options: (written.append(data), write(path, data, **options)))
    async with site.life() as life:
        life.parts.objection = "alarms.toml: is no file of alarms"      # what only shows when it is prepared
        for looked in (1, 2, 3):
            life.sets(FAST, answer=True)
            await life.until(lambda wanted=looked: life.parts.prepared == wanted and life.told["config_state"] == "refused")
        assert (len(written), site.outcomes(), life.parts.told) == (1, ["refused"], [])
        life.parts.objection = ""
        life.sets(FAST, answer=True)
        await life.reaches("trial")
        await life.acknowledges()
        await life.reaches("applied")


async def test_without_an_acknowledgement_it_goes_back_and_is_not_tried_again(site):
    site.write(trial_s=0.2)
    async with site.life() as life:
        life.sets(FAST)
        await life.acknowledges()
        await life.reaches("applied")
        life.proof.ended()      # as by other settings of the uplink
        life.sets(SLOW)
        await life.reaches("trial")
        await life.reaches("rolled_back", "nothing was acknowledged within 0.2 s")
        assert (life.interval_s, life.told["config_hash"]) == (5.0, hash_of(SLOW))
        life.proof.began()
        life.sets(SLOW, answer=True)
        life.sets({"poll": {"interval_s": "soon"}})
        await life.reaches("refused", "poll.interval_s")
        assert life.parts.told == [5.0, 900.0, 5.0]
    async with site.life() as life:
        assert life.interval_s == 5.0
        life.sets(FAST, answer=True)
        await life.reaches("applied")


@pytest.mark.parametrize("step", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_cut_at_each_write_leaves_the_old_or_the_new(site, monkeypatch, step, after):
    """The directory as it is around each replacement of remote-config.json is what a start finds then."""
    moments, write = [], durable.write_file
    other = Site.__new__(Site)

    def watched(path, data, **options):
        if path.name == configlayer.FILE_NAME and not after:
            moments.append(_copy(site.directory, len(moments)))
        write(path, data, **options)
        if path.name == configlayer.FILE_NAME and after:
            moments.append(_copy(site.directory, len(moments)))

    monkeypatch.setattr(configlayer, "write_file", watched)
    async with site.life() as life:
        for layer in (FAST, SLOW):
            life.sets(layer)
            await life.acknowledges()
            known = hash_of(layer)
            await life.until(lambda known=known: (life.told["config_state"], life.told["config_hash"]) == ("applied", known))
    assert len(moments) == 4
    monkeypatch.undo()
    other.directory = moments[step - 1]
    text = (other.directory / "gateway.toml").read_text()
    (other.directory / "gateway.toml").write_text(text.replace(str(site.directory), str(other.directory)))
    written = step if after else step - 1
    expected = {0: (60.0, ""), 1: (60.0, "rolled_back"), 2: (5.0, ""), 3: (5.0, "rolled_back"), 4: (900.0, "")}[written]
    async with other.life() as life:
        assert (life.interval_s, life.desk.kept.refused.outcome if life.desk.kept.refused else "") == expected
        tried = SLOW if step > 2 else FAST
        life.sets(tried, answer=True)
        if expected[1]:
            await life.reaches("rolled_back", "started anew")
            assert life.parts.told == []
            assert other.outcomes()[-1] == "rolled_back"


def _copy(directory, number):
    target = directory.with_name(f"{directory.name}-{number}")
    shutil.copytree(directory, target)
    return target


async def test_a_full_disk_tries_nothing_and_a_trial_that_cannot_be_kept_goes_back(site, monkeypatch):
    full, write = False, durable.write_file

    def watched(path, data, **options):
        if full and path.name == configlayer.FILE_NAME:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, data, **options)

    monkeypatch.setattr(configlayer, "write_file", watched)
    async with site.life() as life:
        full = True
        await life.reaches("none")
        life.sets(FAST, answer=True)
        await life.reaches("refused", "could not be kept")
        life.sets({"nonsense": {"a": 1}}, answer=True)
        await life.reaches("refused", "nonsense.a")
        assert life.parts.told == []
        full = False
        life.sets(FAST)
        await life.reaches("trial")
        full = True
        await life.acknowledges()
        await life.reaches("rolled_back", "could not be kept")
        assert life.interval_s == 60.0
        full = False
    async with site.life() as life:
        assert (life.interval_s, life.desk.kept.refused.outcome) == (60.0, "rolled_back"), "a trial lies there still"


async def test_a_file_that_is_reloaded_into_a_trial_wins(site):
    async with site.life() as life:
        reloading = asyncio.create_task(life.desk.run(lambda _s: None))
        life.sets(FAST)
        await life.reaches("trial")
        site.write(more="[poll]\nat_once = 3\n")
        await life.desk.answer({})
        assert (life.interval_s, life.desk.in_force.poll.at_once) == (5.0, 3), "both"
        site.write(configurable="[]")
        assert "does not name it" in (await life.desk.answer({}))["objection"]
        assert life.interval_s == 60.0
        await life.acknowledges()
        await life.reaches("refused", "does not name it")
        (site.directory / "gateway.toml").write_text("[poll]\nat_once = 0\n")
        with pytest.raises(SettingsError, match=r"poll\.at_once = 0"):
            await life.desk.answer({})
        assert life.desk.in_force.remote.configurable == ()
        reloading.cancel()
        await asyncio.wait({reloading})


async def test_who_asks_for_a_reload_is_answered_in_turn_and_also_where_a_bug_breaks_it_off(tmp_path):
    (tmp_path / "gateway.toml").write_text(f'[gateway]\nname = "gw"\nstate_dir = "{tmp_path}"\n')
    life = Life(tmp_path)
    asked = [asyncio.create_task(life.desk.answer({})) for _ in range(3)]
    apply, life.parts.apply = life.parts.apply, None      # called like this, it raises TypeError
    with pytest.raises(TypeError):
        await life.desk.run(lambda _within_s: None)
    with pytest.raises(EdgeError, match="a fault of the gateway's own"):
        await asked[0]
    life.parts.apply = apply      # the supervisor starts it again
    running = asyncio.create_task(life.desk.run(lambda _within_s: None))
    async with asyncio.timeout(10):
        assert [answer["changed"] for answer in await asyncio.gather(*asked[1:])] == [(), ()]
    running.cancel()
    await asyncio.wait({running})
