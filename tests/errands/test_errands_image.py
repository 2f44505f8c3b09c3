"""Firmware images into simulated meters: resumed after every cut, verified, activated when ordered, refused when wrong."""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from errands_site import KINDS, Site
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import ImageSettings
from edge.demo import meter_objects as objects
from edge.demo.meter_cosem import OTHER_REASON, READ_WRITE_DENIED, TEMPORARY_FAILURE, Outcome
from edge.demo.meter_data import Item
from edge.demo.meter_device import Fittings
from edge.demo.meter_furnish import Live
from edge.demo.meter_image import ImageTransfer as MeterImage
from edge.dlms.axdr import Integer
from edge.dlms.data import BitString
from edge.errands import image_job
from edge.errands.image_job import Job, Phase
from edge.errands.image_sending import Next
from edge.errands.image_store import ImageStore
from edge.errands.image_transfer import DUTY, ImageTransfer
from edge.errors import MeterError, OrderRefused
from edge.meters.dutyspec import ImageSpec
from edge.meters.image import Missing, activations, status_of

IMAGE = hashlib.sha512(b"firmware").digest() * 40 + b"end"          # 2,563 bytes: 21 blocks of 128, the last of 3
SPEC = ImageSpec(firmware_obis="1-0:0.2.0")
SETTINGS = ImageSettings(allow=True, blocks_per_step=4, line_share=0.999)


# -- which blocks ------------------------------------------------------------------------------------------------------------

@settings(max_examples=60)
@given(st.integers(1, 2_000), st.integers(1, 300), st.data())
def test_blocks_against_a_model(size: int, block: int, data: Any) -> None:
    """Whatever is sent and told, what is missing is what a set says; all spans together are the image, once."""
    missing = Missing(size, block)
    model = set(range(missing.count))
    covered = [missing.span(number) for number in range(missing.count)]
    assert sum(length for _, length in covered) == size
    assert all(offset == number * block and 1 <= length <= block for number, (offset, length) in enumerate(covered))
    for _ in range(data.draw(st.integers(0, 6))):
        act = data.draw(st.sampled_from(["send", "bitmap", "first", "nonsense"]))
        if act == "send":
            numbers = missing.following(data.draw(st.integers(1, 8)))
            assert list(numbers) == sorted(model)[:len(numbers)]
            missing.sent(numbers)
            model -= set(numbers)
        elif act == "bitmap":
            has = data.draw(st.lists(st.booleans(), min_size=missing.count, max_size=missing.count))
            bits = "".join("1" if each else "0" for each in has).ljust(-(-missing.count // 8) * 8, "1")
            octets = int(bits, 2).to_bytes(len(bits) // 8, "big")
            length = data.draw(st.sampled_from([missing.count, len(bits)]))
            assert missing.told(BitString(length, octets), Integer(6, 0)) is True
            model = {number for number, there in enumerate(has) if not there}
        elif act == "first":
            first = data.draw(st.integers(0, missing.count))
            assert missing.told(None, Integer(6, first)) is True
            model = set(range(first, missing.count))
        else:
            assert missing.told(BitString(missing.count + 8, b"\xff" * 500), Integer(6, missing.count + 1)) is False
        assert len(missing) == len(model)


@pytest.mark.parametrize(("size", "block"), [(0, 10), (10, 0), (-1, 5)])
def test_no_blocks(size: int, block: int) -> None:
    with pytest.raises(ValueError, match="no blocks"):
        Missing(size, block)


def test_what_the_object_says_is_read_strictly() -> None:
    assert isinstance(status_of(Integer(22, 8)), str)
    assert isinstance(status_of(None), str)
    assert activations([(Integer(6, 5), b"id", b"sig"), "nonsense"]) == [(5, b"id", b"sig")]
    assert activations(None) == []


# -- at the meter ------------------------------------------------------------------------------------------------------------

class Bench:
    """One meter, one image on flash, and the errand as a gateway has it; `restart` makes a new one, as a restart does."""

    def __init__(self, site: Site, tmp_path: Path, settings: ImageSettings = SETTINGS) -> None:
        self.site = site
        self.settings = settings
        self.store = ImageStore(tmp_path)
        self.sha256 = self.store.put(IMAGE)
        self.nudges = 0
        self.restart()

    def restart(self) -> None:
        self.errand = ImageTransfer(self.site.subject, SPEC, self.settings, self.store, self.site.means, self._nudge)

    def _nudge(self) -> None:
        self.nudges += 1

    def job(self, **changes: Any) -> Job:
        return msgspec.structs.replace(
            Job(identifier=b"fw-2.1".hex(), size_bytes=len(IMAGE), sha256=self.sha256, by="alice"), **changes)

    async def give(self, **changes: Any) -> None:
        await self.errand.order(lambda before: image_job.begin(self.job(**changes), before), "image_ordered", "", "alice")

    async def activate(self, at_ms: int = 0) -> None:
        await self.errand.order(lambda job: image_job.order_activation(job, at_ms, "alice"), "image_activation_ordered", "", "alice")

    async def step(self, count: int = 1, until: Phase | None = None) -> None:
        """As a poller does: only what is due, and what goes wrong is told to the errand."""
        async with self.site.session() as session:
            for _ in range(count):
                if self.errand.job is not None and self.errand.job.phase is until:
                    return
                due = self.errand.due(self.site.clock.monotonic())
                if due is None:
                    return
                self.site.clock.pass_s(due - self.site.clock.monotonic())
                try:
                    await self.errand.step(session)
                except MeterError as error:
                    self.errand.failed(error, self.site.clock.monotonic())
                    return

    async def run(self, until: Phase, most: int = 200) -> None:
        for _ in range(most):
            if self.errand.job is not None and self.errand.job.phase is until:
                return
            await self.step(20, until)
        raise AssertionError(f"still {self.errand.state()}")

    @property
    def meter(self) -> MeterImage:
        return self.site.meter.model.image

    @property
    def phase(self) -> Phase:
        assert self.errand.job is not None
        return self.errand.job.phase


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_is_sent_verified_and_activated_only_when_ordered(kind: str, tmp_path: Path) -> None:
    async with Site(kind).running() as site:
        bench = Bench(site, tmp_path)
        bench.meter.expected_sha256 = hashlib.sha256(IMAGE).digest()
        await bench.step()
        assert bench.errand.due(0.0) is None
        assert site.records == []
        await bench.give()
        await bench.run(Phase.VERIFIED)
        assert bytes(bench.meter._image) == IMAGE
        assert bench.errand.due(site.clock.monotonic()) is None
        assert bench.meter.firmware == b"1.0.0"
        await bench.activate()
        await bench.run(Phase.ACTIVE)
        assert bench.meter.firmware == b"fw-2.1"
        assert site.events() == ["image_ordered", "image_started", "image_transferred", "image_verified", "image_activation_ordered",
                                 "image_activating", "image_activated"]
        assert site.told()[-1]["detail"] == "fw-2.1: firmware 1.0.0 -> fw-2.1"
        assert hashlib.sha256(IMAGE).hexdigest()[:32] in site.told()[3]["detail"]
        assert bench.nudges >= 5
        assert bench.errand.due(site.clock.monotonic()) is None


async def test_it_goes_on_after_restarts_cuts_and_power_failures_without_sending_twice(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        taken: list[int] = []

        class Counting(MeterImage):
            __slots__ = ()

            def _take(self, number: int, block: bytes) -> int:
                taken.append(number)
                return super()._take(number, block)

        site.meter.model.install(Counting(site.meter.model.device))
        await bench.give()
        await bench.step(3)                            # told of it, 8 blocks
        await site.meter.power_off()
        with pytest.raises(OSError):
            await site.meter.loop.create_connection(object, *site.meter.address)
        await site.meter.power_on()
        await bench.step(2)
        bench.restart()                                # kill -9 of the gateway: only what is on flash is left
        await bench.step(3)
        site.meter.drop_connections(reset=True)
        await bench.run(Phase.VERIFIED)
        assert taken == list(range(21))
        assert site.events().count("image_started") == 1
        assert site.events().count("image_resumed") == 1
        assert bytes(site.meter.model.image._image) == IMAGE


@pytest.mark.parametrize("cut_after", [1, 2, 5, 9, 21, 22, 23])
async def test_a_connection_that_breaks_under_any_request_costs_nothing_but_that_request(cut_after: int, tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        count = [0]

        class Dying(MeterImage):
            __slots__ = ()

            def act(self, method: int, argument: Item, now: float) -> Outcome:
                outcome = super().act(method, argument, now)
                count[0] += 1
                if count[0] == cut_after:
                    site.meter.drop_connections(reset=True)
                return outcome

        site.meter.model.install(Dying(site.meter.model.device))
        await bench.give(activate_at_ms=0)
        await bench.run(Phase.ACTIVE)
        assert bytes(site.meter.model.image._image) == IMAGE
        assert count[0] <= 1 + 21 + 1 + 1 + 1


async def test_blocks_that_the_meter_said_it_took_and_lost_are_sent_again(tmp_path: Path) -> None:
    async with Site(fittings=Fittings(image_loses={3, 7, 20})).running() as site:
        bench = Bench(site, tmp_path)
        await bench.give()
        await bench.run(Phase.VERIFIED)
        assert bytes(bench.meter._image) == IMAGE


async def test_a_meter_that_never_keeps_a_block_is_given_up(tmp_path: Path) -> None:
    async with Site().running() as site:
        class Sieve(MeterImage):
            __slots__ = ()

            def _take(self, number: int, block: bytes) -> int:
                return 0 if number == 5 else super()._take(number, block)

        site.meter.model.install(Sieve(site.meter.model.device))
        bench = Bench(site, tmp_path)
        await bench.give()
        await bench.run(Phase.FAILED)
        assert site.events()[-1] == "image_failed"
        assert "keeps lacking 1 of 21 blocks" in site.told()[-1]["detail"]


async def test_a_verification_that_takes_minutes_is_waited_for(tmp_path: Path) -> None:
    async with Site(fittings=Fittings(image_verify_s=100.0)).running() as site:
        bench = Bench(site, tmp_path)
        await bench.give()
        await bench.run(Phase.VERIFY)
        before = site.clock.wall_s
        bench.restart()
        await bench.step(1)
        await bench.run(Phase.VERIFIED)
        assert 100 <= site.clock.wall_s - before <= 200
        assert site.meter.counters.actions <= 1 + 21 + 2


async def test_an_image_that_is_refused_is_sent_once_more_and_then_given_up(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        bench.meter.expected_sha256 = bytes(32)
        await bench.give(activate_at_ms=0)
        await bench.run(Phase.FAILED)
        assert site.events() == ["image_ordered", "image_started", "image_transferred", "image_not_verified", "image_started",
                                 "image_transferred", "image_failed"]
        assert bench.meter.firmware == b"1.0.0"
        with pytest.raises(OrderRefused, match=r"nothing to activate: the image fw-2\.1 is in phase failed: verification"):
            await bench.activate()


@pytest.mark.parametrize(("method", "code", "words"), [
    (1, READ_WRITE_DENIED, "initiate: read write denied (3)"), (2, OTHER_REASON, "block 0: other reason (250)"),
    (4, OTHER_REASON, "activation: other reason (250)"),
])
async def test_what_the_meter_refuses_for_good(method: int, code: int, words: str, tmp_path: Path) -> None:
    async with Site().running() as site:
        class Refusing(MeterImage):
            __slots__ = ()

            def act(self, number: int, argument: Item, now: float) -> Outcome:
                return Outcome(code) if number == method else super().act(number, argument, now)

        site.meter.model.install(Refusing(site.meter.model.device))
        bench = Bench(site, tmp_path)
        await bench.give(activate_at_ms=0)
        await bench.run(Phase.FAILED)
        assert words in site.told()[-1]["detail"]


@pytest.mark.parametrize("method", [1, 2, 3, 4])
async def test_what_the_meter_calls_temporary_is_tried_again_until_it_passes(method: int, tmp_path: Path) -> None:
    async with Site().running() as site:
        left = [5]

        class Busy(MeterImage):
            __slots__ = ()

            def act(self, number: int, argument: Item, now: float) -> Outcome:
                if number == method and left[0]:
                    left[0] -= 1
                    return Outcome(TEMPORARY_FAILURE)
                return super().act(number, argument, now)

        site.meter.model.install(Busy(site.meter.model.device))
        bench = Bench(site, tmp_path)
        await bench.give(activate_at_ms=0)
        await bench.run(Phase.ACTIVE)
        assert left == [0]


async def test_a_meter_that_does_not_let_images_in_is_told(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        bench.meter._enabled = False
        await bench.give()
        await bench.run(Phase.FAILED)
        assert "not enabled at the meter" in site.told()[-1]["detail"]
        site.meter.settings.manners.conformance = 0x00121C
        bench.meter._enabled = True
        await bench.give()
        await bench.run(Phase.FAILED)
        assert "ACTION was not negotiated" in site.told()[-1]["detail"]


async def test_an_activation_has_its_time_and_waits_for_a_right_clock(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        await bench.give()
        await bench.run(Phase.VERIFIED)
        at_ms = round(site.clock.wall_s * 1000) + 3_600_000
        await bench.activate(at_ms)
        now = site.clock.monotonic()
        assert bench.errand.due(now) == pytest.approx(now + 3_600)
        site.clock.is_synchronised = False
        assert bench.errand.due(now) == now + 60
        site.clock.pass_s(4_000)
        async with site.session() as session:
            await bench.errand.step(session)
        assert bench.phase is Phase.VERIFIED
        site.clock.is_synchronised = True
        await bench.run(Phase.ACTIVE)


class Rebooting(MeterImage):
    """Restarts to activate, and knows of no image any more; `takes_it`: with the new firmware."""

    __slots__ = ("site", "takes_it")

    def _activate(self, now: float) -> int:
        self.firmware = self._identifier if self.takes_it else self.firmware
        self.status = 0
        self.site.meter.drop_connections(reset=True)
        return 0


@pytest.mark.parametrize(("takes_it", "phase"), [(True, Phase.ACTIVE), (False, Phase.FAILED)])
async def test_a_meter_that_restarts_to_activate_and_forgets_is_judged_by_its_firmware(
    takes_it: bool, phase: Phase, tmp_path: Path,
) -> None:
    async with Site().running() as site:
        image = Rebooting(site.meter.model.device)
        image.site, image.takes_it = site, takes_it
        site.meter.model.install(image)
        site.meter.model.install(Live(objects.FIRMWARE, lambda _: objects.octets(image.firmware)))
        bench = Bench(site, tmp_path)
        await bench.give(activate_at_ms=0)
        await bench.run(phase)


async def test_an_abort_ends_it_also_while_a_step_is_under_way(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        await bench.give()
        await bench.step(3)
        with pytest.raises(OrderRefused, match="is under way"):
            await bench.give()
        job = bench.errand.job
        assert job is not None
        await bench.errand.order(lambda before: image_job.abort(before, "alice"), "image_aborted", "", "alice")
        await bench.errand._go_on(job, Next(job.at(Phase.VERIFY)))           # what a step under way comes to is too late
        assert bench.phase is Phase.ABORTED
        assert image_job.load(site.notes[site.subject.meter, DUTY]) == bench.errand.job
        assert bench.errand.due(0.0) is None
        with pytest.raises(OrderRefused, match="no image is under way"):
            await bench.errand.order(lambda before: image_job.abort(before, "alice"), "image_aborted", "", "alice")
        await bench.give()                                                    # the same again begins anew
        await bench.run(Phase.VERIFIED)


async def test_an_image_that_is_gone_or_damaged_on_flash_is_never_sent(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path)
        (bench.store.directory / bench.sha256).write_bytes(IMAGE[:-1] + b"X")
        await bench.give()
        await bench.run(Phase.FAILED)
        assert "is damaged" in site.told()[-1]["detail"]
        assert site.meter.counters.actions == 0
        (bench.store.directory / bench.sha256).unlink()
        await bench.give()
        await bench.run(Phase.FAILED)
        assert "cannot be read" in site.told()[-1]["detail"]


async def test_nothing_is_done_while_the_settings_do_not_allow_it(tmp_path: Path) -> None:
    async with Site().running() as site:
        bench = Bench(site, tmp_path, ImageSettings())
        await bench.give()
        assert bench.errand.due(0.0) is None


def test_images_on_flash(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.keep_only(())
    name = store.put(b"one")
    assert store.put(b"one") == name == hashlib.sha256(b"one").hexdigest()
    store.check(name, 3)
    assert store.read(name, [(1, 2), (0, 1)]) == [b"ne", b"o"]
    for wrong in (lambda: store.read(name, [(2, 5)]), lambda: store.check(name, 4), lambda: store.read("../etc", []),
                  lambda: store.read("0" * 64, [])):
        with pytest.raises(OrderRefused):
            wrong()
    store.keep_only(())
    assert (store.directory / name).exists(), "it has just come"
    os.utime(store.directory / name, (0, 0))
    other = store.put(b"two")
    store.keep_only({other})
    assert sorted(path.name for path in store.directory.iterdir()) == [other]


def test_jobs_that_cannot_be_read_are_none() -> None:
    assert image_job.load("") is None
    assert image_job.load("{") is None
    assert image_job.told(None) == {"phase": "none"}
    assert Job(identifier="00ff", size_bytes=1, sha256="", by="").name == "00ff"
