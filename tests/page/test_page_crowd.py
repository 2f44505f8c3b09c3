"""A large site on a bad day: a hundred meters with long names, none of which answers, and thirty radio peers."""

import re

import pytest
from api_site import PASSWORD, Site
from page_browser import DESK, PHONE, SHOTS, accessible
from playwright.sync_api import expect

METERS, PEERS = 100, 30
LONG = "transformer-station-of-the-harbour-street-{:03d}-feeder-west"
MACS = [f"02:00:5e:20:00:{number:02x}" for number in range(PEERS)]


def trace() -> str:
    lines = ["t_s,mac,signal_dbm,inactive_ms,tx_packets,rx_packets"]
    lines += [f"{second},{mac},{-50 - number * 2 - second % 3},200,{second},{second}" for second in range(30) for number, mac in enumerate(MACS)]
    return "\n".join(lines) + "\n"


def registered() -> str:
    """Three meters behind each peer, the rest behind none; nobody listens on port 1."""
    return "name,host,port,mac\n" + "".join(
        f"{LONG.format(number)},127.0.0.1,1,{MACS[number // 3] if number < 3 * PEERS else ''}\n" for number in range(METERS))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("crowd")
    (directory / "radio.csv").write_text(trace())
    there = Site(directory, radio={"kind": "simulated", "trace": str(directory / "radio.csv"), "interval_s": 1.0, "record_interval_s": 30.0})
    with there.gateway:
        there.start()
        admin = there.admin()
        assert admin.call("POST", "meters.csv", registered(), kind="text/csv").status == 200
        assert admin.call("POST", f"meters/{LONG.format(METERS - 1)}/pause").status == 200
        yield there
        assert there.gateway.stop() == 0, there.gateway.tail()


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desk", "dark")])
def test_a_large_site_on_a_bad_day_is_still_one_to_find_ones_way_in(site, browser, size, scheme):
    context = browser.new_context(viewport=PHONE if size == "phone" else DESK, color_scheme=scheme, locale="en-GB" if size == "phone" else "es-CO")
    tab = context.new_page()
    tab.goto(f"http://127.0.0.1:{site.port}")
    tab.locator("[name=password]").fill(PASSWORD)
    tab.keyboard.press("Enter")

    def look(view: str, full: str) -> None:
        tab.click(f"#nav-{view}")
        expect(tab.locator(f'[data-view="{view}"] {full}').first).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than the {size}"
        accessible(tab)
        tab.screenshot(path=SHOTS / f"crowd-{view}-{size}-{scheme}.png")

    expect(tab.locator("#link-state")).to_have_text("Live" if size == "phone" else "En directo")
    worries = tab.locator('[data-view="overview"] section').first.locator("li")
    expect(worries.filter(has_text="refused" if size == "phone" else "rechazado")).to_have_text(re.compile(rf"^{METERS - 1} × .*{LONG.format(0)} \(.*\) (and|y) {METERS - 2} (more|más)"))
    look("overview", "section")
    look("meters", ".badge")
    expect(tab.locator("#meters > li")).to_have_count(METERS)
    tab.locator("#filter").fill("station-of-the-harbour-street-04")
    expect(tab.locator("#meters > li")).to_have_count(10)
    expect(tab.get_by_text("10 of 100 meters" if size == "phone" else "10 de 100 medidores")).to_be_visible()
    tab.locator("#filter").fill("off" if size == "phone" else "apagado")
    expect(tab.locator("#meters > li h2")).to_have_text([LONG.format(METERS - 1)])
    look("align", ".plot path.trace")
    choice = tab.locator(".choice select")
    expect(choice.locator("option")).to_have_count(PEERS)
    choice.select_option(MACS[22])
    expect(tab.locator(".align-head .badge")).to_have_text("poor" if size == "phone" else "malo")
    assert tab.locator(".rssi").bounding_box()["y"] < 500, "the number stands on the screen without scrolling"
    look("align", ".plot path.trace")
    look("inventory", "tbody tr")
    context.close()
