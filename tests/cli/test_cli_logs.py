"""`logs` and `log level` by a real control socket, with the gateway's own tail and level behind it."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, get_args

import pytest
import uvloop
from cli_site import Site

from edge.control import serve
from edge.errors import ConfigError
from edge.logs.level import LevelDesk
from edge.logs.output import set_level
from edge.logs.parts import PARTS, Part
from edge.logs.tail import KEPT, LogTail, kept

logger = logging.getLogger("edge.test_cli_logs")


class Gateway:
    """The loop that serves, and a way into it."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop, tail: LogTail, levels: LevelDesk) -> None:
        self.site, self.loop, self.tail, self.levels = site, loop, tail, levels

    def good(self, *args: str) -> str:
        """Run a command; it sets the level of its own process, which is the gateway's here, and so is its stderr."""
        result = self.site(*args)
        set_level(self.levels.level)
        assert result.exit_code == 0, result.output
        return result.stdout

    def do(self, act: Callable[[], Any]) -> Any:
        async def inside() -> Any:
            return act()
        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(10)

    def followed(self) -> None:
        """Return when somebody waits for the next line: a loop that ends while it accepts leaves a connection open."""
        deadline = time.monotonic() + 30
        while not self.do(lambda: bool(self.tail._news)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextmanager
def gateway(site: Site) -> Iterator[Gateway]:
    """Be the running gateway, as far as its log goes, in a thread of its own."""
    loop, ready, stop = uvloop.new_event_loop(), threading.Event(), asyncio.Event()      # the gateway's own loop
    set_level("info")
    with kept() as tail:
        levels = LevelDesk("info")

        async def main() -> None:
            async with serve(site.runtime_dir, {"logs": tail.answer, "log_level": levels.answer}):
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
        thread.start()
        try:
            assert ready.wait(10)
            yield Gateway(site, loop, tail, levels)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()


def test_the_newest_lines_are_shown_and_chosen_among(site: Site) -> None:
    with gateway(site) as there:
        assert there.good("logs") == ""
        logger.info("meter %s: reads again", "m1")
        logger.warning("meter %s: no reading: %s", "m2", "no_answer\n<0>forged")
        try:
            int("x")
        except ValueError:
            logger.exception("the page failed path=%s", "/x")
        logger.debug("not at this level")
        lines = there.good("logs").splitlines()
        assert [line.partition("Z ")[2] for line in lines] == [
            "INFO    edge.test_cli_logs: meter m1: reads again",
            "WARNING edge.test_cli_logs: meter m2: no reading: no_answer\\n<0>forged",
            "ERROR   edge.test_cli_logs: the page failed path=/x [ValueError]"]
        assert there.good("logs", "--level", "warning") == "\n".join(lines[1:]) + "\n"
        assert there.good("logs", "--meter", "m1") == lines[0] + "\n"
        assert there.good("logs", "-n", "1") == lines[2] + "\n"
        assert there.good("logs", "--since", "1h").splitlines() == lines
        assert there.good("logs", "--since", "2100-01-01 00:00") == ""
        told = json.loads(there.good("logs", "--json"))["lines"]
        assert [line["fields"] for line in told] == [{"meter": "m1"}, {"meter": "m2"}, {"path": "/x"}]
        assert [line["level"] for line in told] == ["info", "warning", "error"]
        assert "10m (ago)" in site.misused("logs", "--since", "yesterday")
        assert "30m" in site.misused("log", "level", "debug", "--for", "soon")
    assert "no gateway is running here" in site.refused("logs")[0]


def test_the_level_is_changed_for_a_while_and_who_did_it_is_told(site: Site) -> None:
    with gateway(site) as there:
        assert there.good("log", "level") == "log level info\n"
        assert there.good("log", "level", "debug", "--for", "2h", "--by", "ana").startswith("log level debug, info again in ")
        logger.debug("meter %s: octets", "m1")
        shown = there.good("logs")
        assert "log level debug, for 7200 s, then info again: ana" in shown
        assert "DEBUG   edge.test_cli_logs: meter m1: octets" in shown
        state = json.loads(there.good("log", "level", "--json"))
        assert (state["level"], state["settled"]) == ("debug", "info")
        assert 7000 < state["left_s"] <= 7200
        there.do(lambda: there.levels._return("", "the time is over"))
        assert there.good("log", "level") == "log level info\n"
        assert "log level info again: the time is over" in there.good("logs")
        assert there.good("log", "level", "error", "--keep", "--by", "ana") == "log level error\n"
        logger.warning("not at this level")
        assert there.good("logs").splitlines()[-1].endswith("log level error, until the gateway is started anew: ana")
        assert "<= 86400" in site.refused("log", "level", "debug", "--for", "3d")[0]


def test_one_part_says_more_while_the_rest_stays_as_it_is(site: Site) -> None:
    poller, uplink = logging.getLogger("edge.poll.poller"), logging.getLogger("edge.uplink.drain")
    with gateway(site) as there:
        assert there.good("log", "level", "debug", "--part", "meters", "--for", "2h", "--by", "ana").splitlines()[0] == "log level info"
        poller.debug("meter %s: octets", "m1")
        uplink.debug("a packet")
        shown = there.good("logs")
        assert "log level of meters debug, for 7200 s, then as the rest again: ana" in shown
        assert "octets" in shown
        assert "a packet" not in shown
        assert there.good("log", "level").splitlines()[1].startswith("log level of meters debug, as the rest again in ")
        there.good("log", "level", "error", "--part", "radio", "--keep")
        assert [(each["part"], each["level"], each["left_s"] is None) for each in json.loads(there.good("log", "level", "--json"))["parts"]] == [
            ("meters", "debug", False), ("radio", "error", True)]
        for part in ("meters", "radio"):
            there.good("log", "level", "default", "--part", part, "--by", "ben")
        assert there.good("log", "level") == "log level info\n"
        assert "log level of meters as the rest again: ben" in there.good("logs")
        poller.debug("no more")
        assert "no more" not in there.good("logs")
        there.good("log", "level", "debug", "--keep")
        assert there.good("log", "level", "default") == "log level info\n"
    assert tuple(PARTS) == get_args(Part)[1:]
    for names in PARTS.values():
        for name in names:
            assert find_spec(name) is not None, f"{name} is nobody's logger"


async def test_the_level_returns_by_itself() -> None:
    set_level("info")
    with kept() as tail:
        desk = LevelDesk("info")
        desk.change("debug", "ana", 0.01)
        asked = {"run": tail.run, "after": tail.last_no, "wait_s": 10.0}
        assert desk.level == "debug"
        answer = await tail.answer(asked)
        assert [line["text"] for line in answer["lines"]] == ["log level info again: the time is over"]
        assert (desk.level, desk.left_s(), logging.getLogger().level) == ("info", None, logging.INFO)
        desk.change("debug", "ana", 3600)
        desk.settle("error")
        assert (desk.level, desk.state()["settled"]) == ("debug", "error"), "changed settings wait behind it"
        desk.change("warning", "ben")
        assert desk.left_s() is None, "what was to come back by itself does not undo a later change"
        desk.settle("info")
        assert desk.level == "info"
        desk.change("debug", "ana", 0.01, "ring")
        asked |= {"after": tail.last_no}
        assert [line["text"] for line in (await tail.answer(asked))["lines"]] == ["log level of ring as the rest again: the time is over"]
        assert desk.state()["parts"] == []


def test_lines_are_followed_as_they_come_also_over_a_restart(site: Site) -> None:
    with gateway(site) as there:
        logger.info("before")
        following = subprocess.Popen([sys.executable, "-m", "edge", "-c", str(site.config), "logs", "-f", "--meter", "m1", "--json"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert following.stdout is not None
            assert following.stderr is not None
            logger.warning("meter %s: one", "m1")
            logger.warning("meter %s: not this one", "m2")
            assert json.loads(following.stdout.readline())["text"] == "meter m1: one"
            logger.warning("meter %s: two", "m1")
            assert json.loads(following.stdout.readline())["text"] == "meter m1: two"
            there.followed()
        except BaseException:
            following.kill()
            raise
    try:
        assert "waiting for it" in following.stderr.readline()
        with gateway(site) as there:
            logger.warning("meter %s: of the next run", "m1")
            assert json.loads(following.stdout.readline())["text"] == "meter m1: of the next run"
            there.followed()
            following.send_signal(signal.SIGINT)
            assert following.wait(20) == 130
    finally:
        following.kill()
        following.communicate()


async def test_what_came_too_fast_is_counted_and_a_flood_pushes_nobody_out() -> None:
    set_level("info")
    with kept() as tail:
        logger.warning("the one that matters")
        for n in range(3 * KEPT):
            logger.warning("meter %s: no reading", f"m{n}")
        assert next(line.text for line in tail.lines("info", 500)) == "the one that matters"
        for n in range(KEPT + 5):
            logger.info("text %d", n, extra={"fields": {"n": n}}) if n < 5 else logging.getLogger(f"edge.n{n}").info("text")
        answer = await tail.answer({"run": tail.run, "after": 1, "most": 3})
        assert answer["missed"] == tail.last_no - KEPT - 1
        assert len(answer["lines"]) == 3
        assert answer["last_no"] == answer["lines"][-1]["no"], "the others come with the next request"
        assert (await tail.answer({"run": "another", "after": 10**9}))["lines"], "numbers of another run say nothing"
        for wrong in ({"level": "loud"}, {"wait_s": 60}, {"most": 0}, {"after": -1}, {"who": 1}):
            with pytest.raises(ConfigError, match="no such request"):
                await tail.answer(wrong)
        with pytest.raises(ConfigError, match="no such request"):
            await LevelDesk("info").answer({"level": "loud"})
