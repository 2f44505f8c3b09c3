"""Billing registers of simulated meters: classes 3, 4 and 5, once a day, after a billing period, over restarts."""

from typing import Any

import msgspec
import pytest
from errands_site import KINDS, Site

from edge.demo import meter_objects as objects
from edge.demo.meter_furnish import Live
from edge.errands.billing import Billing
from edge.errors import ConfigError, RegistryError
from edge.meters.objectspec import ObjectSpec
from edge.meters.profile import BillingSpec, load_profile
from edge.model import Kind, Stream

DEMAND = [ObjectSpec(key="demand_now", obis="1-0:1.4.0", class_id=5, attribute=2, unit="W"),
          ObjectSpec(key="demand_last", obis="1-0:1.4.0", class_id=5, attribute=3, unit="W"),
          ObjectSpec(key="demand_status", obis="1-0:1.4.0", class_id=5, attribute=5),
          ObjectSpec(key="demand_start_time", obis="1-0:1.4.0", class_id=5, attribute=7),
          ObjectSpec(key="demand_period", obis="1-0:1.4.0", class_id=5, attribute=8)]


def errand(site: Site, *more: ObjectSpec, **spec: Any) -> Billing:
    told = site.profile.billing
    assert told is not None
    told = msgspec.structs.replace(told, objects=(*told.objects, *more), **spec)
    return Billing(site.subject, site.profile, told, 86_400.0, site.means)


@pytest.mark.parametrize("kind", KINDS)
async def test_tariffs_maximum_and_demand_are_read_with_units_and_times(kind: str) -> None:
    async with Site(kind).running() as site:
        one = errand(site, *DEMAND)
        await site.steps(one)
        [(stream, record)] = site.records
        assert stream is Stream.BILLING
        device, now = site.meter.model.device, site.clock.wall_s
        [values] = site.told(Kind.BILLING)
        assert values["active_energy_t1"] == device.tariff_energy_wh(1, int(now))
        assert values["active_energy_t2"] == device.tariff_energy_wh(2, int(now))
        assert values["active_power_max"] > 0
        assert values["active_power_max_time"].startswith("2026-03-01T")
        assert values["demand_start_time"] == "2026-03-01T12:30:00+00:00"
        assert (values["demand_period"], values["demand_status"]) == (900, 0)
        assert {field.key: field.unit for field in record.schema.fields}["demand_last"] == "W"
        assert "not_read" not in values
        site.clock.pass_s(3_600)
        await site.steps(one, 3)
        await site.steps(errand(site, *DEMAND))          # a gateway that was restarted
        assert len(site.records) == 1
        site.clock.pass_s(86_400)
        await site.steps(one)
        assert len(site.records) == 2


async def test_the_end_of_a_billing_period_is_noticed_within_the_hour() -> None:
    async with Site().running() as site:
        periods = [4]
        site.meter.model.install(Live(bytes((1, 0, 0, 1, 0, 255)), lambda _: objects.integer(0x11, periods[0])))
        one = errand(site)
        await site.steps(one)
        assert one.due(site.clock.monotonic()) == 3_600
        site.clock.pass_s(3_600)
        await site.steps(one)
        assert len(site.records) == 1
        periods[0] = 5
        site.clock.pass_s(3_600)
        await site.steps(one)
        assert len(site.records) == 2


async def test_without_a_counter_it_is_once_a_day() -> None:
    async with Site().running() as site:
        one = errand(site, counter_obis="")
        await site.steps(one)
        assert one.due(0.0) == 86_400
        assert site.meter.counters.gets == 1


async def test_what_the_meter_lacks_is_told_and_the_rest_is_kept() -> None:
    async with Site().running() as site:
        await site.steps(errand(site, ObjectSpec(key="last_month", obis="1-0:1.8.0.101", unit="Wh")))
        [values] = site.told(Kind.BILLING)
        assert values["not_read"].startswith("last_month: object undefined (4)")
        assert values["active_energy_t1"] > 0


async def test_a_meter_that_has_none_of_them_leaves_no_record_and_no_failed_poll(caplog: pytest.LogCaptureFixture) -> None:
    async with Site().running() as site:
        spec = BillingSpec(objects=(ObjectSpec(key="x", obis="1-0:99.8.1", unit="Wh"),))
        one = Billing(site.subject, site.profile, spec, 86_400.0, site.means)
        await site.steps(one, 2)
        assert site.records == []
        assert one.due(site.clock.monotonic()) == 86_400
        assert "no billing register is read: x: object undefined (4)" in caplog.text


async def test_what_cannot_be_noted_is_read_again() -> None:
    async with Site().running() as site:
        site.registry_fails = True
        one = errand(site)
        with pytest.raises(RegistryError):
            await site.steps(one)
        one.failed(RegistryError("full"), site.clock.monotonic())
        assert one.due(site.clock.monotonic()) == 300
        site.notes["m1", "billing"] = "{damaged"
        site.registry_fails = False
        await site.steps(one)
        assert len(site.records) == 2


def test_a_time_has_a_key_that_says_so(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("""
name = "mine"
vendor = "x"
source = "x"
[[objects]]
key = "a"
obis = "1-0:1.8.0"
[billing]
[[billing.objects]]
key = "max_at"
obis = "1-0:1.6.0"
class_id = 4
attribute = 5
""")
    with pytest.raises(ConfigError, match=r"billing\.objects\[0\]\.key: 'max_at' is a date-time: its key ends in _time"):
        load_profile(path)
