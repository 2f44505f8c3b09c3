"""A technician's visit, in a real browser: from the first use to an outage that is over. In order; each test goes on from the last.

Screenshots of every view go to the folder that HALOW_PAGE names, on a phone and on a desk, dark and light.
"""

import re
from pathlib import Path

import pytest
from api_site import PASSWORD
from page_browser import DESK, PHONE, SHOTS, accessible
from page_site import FAR, NEAR, WEAK, Box
from playwright.sync_api import expect

FULL = {"overview": ".badge", "align": ".plot path.trace", "meters": ".values .v", "ring": ".plot path.trace", "alarms": "tbody tr", "logs": ".log li", "config": "summary",
        "inventory": "tbody tr", "access": "form"}
"""Each view in the order of the menu, and what is there once it has been told what there is."""
VIEWS = tuple(FULL)
EXPECTED_NOISE = re.compile(r"401 \(Unauthorized\)|422|429|\[DOM\]|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    there = Box(tmp_path_factory.mktemp("box"))
    with there.site.gateway:
        there.start()
        yield there
        there.stop()


@pytest.fixture(scope="module")
def page(box, browser):
    """One phone, and everything that its console said."""
    tab = browser.new_context(viewport=PHONE, locale="en-GB", color_scheme="light", accept_downloads=True).new_page()
    said = []
    tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
    tab.goto(box.url)
    yield tab
    assert [line for line in said if not EXPECTED_NOISE.search(line)] == []


def go(page, view: str) -> None:
    page.click(f"#nav-{view}")
    expect(page.locator(f'[data-view="{view}"] h1')).to_be_visible()


def test_first_use_needs_the_code_from_the_box(page, box):
    expect(page.get_by_role("heading", name="Set the password")).to_be_visible()
    accessible(page)
    page.screenshot(path=SHOTS / "setup-phone-light.png")
    page.get_by_label("Code").fill("22222-33333")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Set and log in").click()
    expect(page.locator("[name=code]")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".error:visible")).to_contain_text("no such code")
    page.get_by_label("Code").fill(box.site.code().lower())
    page.get_by_label("Once more").fill("something else")
    page.get_by_role("button", name="Set and log in").click()
    expect(page.locator(".error:visible")).to_have_text("The two differ.")
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Set and log in").click()
    expect(page.locator("#gateway-name")).to_have_text("gw-test")
    expect(page.locator("#link-state")).to_have_text("Live")


def test_a_wrong_input_is_explained_where_it_stands(page, box):
    go(page, "meters")
    page.get_by_role("button", name="Add meter").click()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("[name=name]")).to_be_focused()
    expect(page.locator(".error:visible")).to_have_count(2)
    page.get_by_label("Name", exact=True).fill("first")
    page.get_by_label("Address", exact=True).fill("127.0.0.1")
    page.get_by_label("Port").fill("99999")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".error:visible")).to_have_text("must be from 1 to 65535")
    expect(page.locator("[name=port]")).to_be_focused()
    accessible(page)
    page.screenshot(path=SHOTS / "wrong-input-phone-light.png")


def test_a_meter_is_added_and_its_values_move(page, box):
    row = box.meters.rows()[0]
    page.get_by_label("Port").fill(row["port"])
    page.get_by_label("Password", exact=True).fill(row["password"])
    page.get_by_label("Framing").select_option(row["framing"])
    page.get_by_label("Client address").fill(row["client_sap"])
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("dialog")).to_have_count(0)
    card = page.locator('[data-meter="first"]')
    expect(card.locator(".badge")).to_have_text("reading")
    values = card.locator(".values .v").first
    expect(values).to_have_text(re.compile(r"^2\d\d\.\d+$"))
    before = card.locator(".values").first.inner_text()
    page.wait_for_function("before => document.querySelector('[data-meter=first] .values').innerText !== before", arg=before, timeout=30_000)


def test_a_file_of_meters_is_taken_whole_or_not_at_all(page, box, tmp_path):
    page.get_by_role("button", name="Import CSV").click()
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("name,host,port\nbad,127.0.0.1,0\n")
    page.get_by_label("CSV file").set_input_files(wrong)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("dialog li")).to_contain_text("must be from 1 to 65535")
    page.get_by_label("CSV file").set_input_files(box.meters.csv)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#announce")).to_contain_text("6 added")
    expect(page.locator('[data-meter="sim-0002"] .badge')).to_have_text("reading")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    assert "sim-0003" in Path(download.value.path()).read_text()


def test_a_meter_is_tested_with_units(page):
    page.get_by_role("button", name="Test sim-0002").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name=re.compile("voltage_l1 1-0:32.7.0.255 2\\d\\d\\.\\d+ V"))).to_be_visible()
    accessible(page)
    page.screenshot(path=SHOTS / "test-phone-light.png")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_a_meter_is_edited_paused_and_resumed(page):
    page.get_by_role("button", name="Edit sim-0001").click()
    page.get_by_text("More settings").click()
    page.get_by_label("Radio peer (MAC)").fill("02-00-5E-10-00-01")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#announce")).to_contain_text("sim-0001 is changed")
    page.get_by_role("button", name="Edit sim-0002").click()
    page.get_by_text("More settings").click()
    page.get_by_label("Radio peer (MAC)").fill(FAR)
    page.get_by_role("button", name="Save").click()
    card = page.locator('[data-meter="sim-0003"]')
    page.get_by_role("button", name="Pause sim-0003").click()
    expect(card.locator(".badge")).to_have_text("off")
    page.get_by_role("button", name="Resume sim-0003").click()
    expect(card.locator(".badge")).to_have_text("reading")


def test_the_antenna_is_aligned_by_a_plot_that_moves(page):
    go(page, "align")
    page.locator(".choice span", has_text="sim-0001").click()
    line = page.locator(".plot path.trace")
    drawn = line.get_attribute("d")
    page.wait_for_function("drawn => document.querySelector('.plot path.trace').getAttribute('d') !== drawn", arg=drawn, timeout=30_000)
    reading, best = (int(page.locator(where).first.inner_text().replace("−", "-")) for where in (".rssi", ".align-head .big"))
    assert -100 < reading <= best < -50
    expect(page.locator(".plot")).to_have_attribute("aria-label", re.compile(r"now -\d+ dBm, (excellent|good)"))
    assert page.locator(".plot rect").count() == 5, "a band for each grade, and one for none"
    page.get_by_role("button", name="Begin anew").click()
    page.locator(".choice span", has_text="sim-0002").click()
    expect(page.locator(".align-head .badge")).to_have_text("fair")
    assert NEAR not in page.locator(".choice").inner_text(), "meters are told by their name"


def test_an_alarm_is_raised_and_acknowledged(page):
    go(page, "meters")
    page.get_by_role("button", name="Edit sim-0004").click()
    page.get_by_text("More settings").click()
    page.get_by_label("Radio peer (MAC)").fill(WEAK)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#alarm-count")).to_have_text(re.compile(r"\d"), timeout=40_000)
    go(page, "alarms")
    alarm = page.locator('[data-alarm="link_poor"]')
    expect(alarm).to_contain_text("sim-0004")
    accessible(page)
    page.screenshot(path=SHOTS / "alarm-phone-light.png")
    page.get_by_role("button", name="Acknowledge link_poor of sim-0004").click()
    expect(alarm).to_contain_text("acknowledged by admin at 127.0.0.1")
    expect(page.locator("tbody tr").first).to_contain_text("acknowledged")


def test_an_outage_and_its_end_are_seen(page, box):
    box.meters.stop()
    go(page, "overview")
    expect(page.locator("section:has(h2:text-is('Meters')) .badge")).to_have_text("trouble")
    expect(page.locator("section:has(h2:text-is('Meters')) .big")).to_have_text("0 / 7reading", timeout=60_000)
    expect(page.locator("section:has(h2:text-is('What needs a look'))")).to_contain_text("unreachable")
    accessible(page)
    expect(page.locator("#announce")).to_be_empty()
    page.screenshot(path=SHOTS / "outage-phone-light.png")
    box.meters.start()
    expect(page.locator("section:has(h2:text-is('Meters')) .badge")).to_have_text("well", timeout=60_000)
    worries = page.locator("section:has(h2:text-is('What needs a look')) li")
    expect(worries).to_have_text(["sim-0004: link poor"], timeout=60_000)      # the meters are read again; that antenna is still a poor one


def test_the_log_says_more_of_one_part_for_a_while(page):
    go(page, "logs")
    control = page.locator("#log-level")
    control.get_by_text("Log level: info").press("Enter")
    expect(control.locator("li")).to_have_text("everything: info as the settings say")
    control.get_by_label("Part").select_option("meters")
    control.get_by_label("Level", exact=True).select_option("debug")
    control.get_by_label("For how long").select_option("2 hours")
    control.get_by_role("button", name="Set", exact=True).press("Enter")
    expect(page.locator("#announce")).to_have_text("meters: debug from now on.")
    expect(control.locator("li").nth(1)).to_contain_text(re.compile(r"meters: debug until \d\d:\d\d"))
    expect(control.locator("summary")).to_have_text("Log level: info · meters: debug")
    expect(page.locator(".log")).to_contain_text("log level of meters debug, for 7200 s, then as the rest again: admin of the page")
    accessible(page)
    page.screenshot(path=SHOTS / "log-level-phone-light.png")
    page.get_by_role("button", name="Back to usual: meters").press("Enter")
    expect(control.locator("li")).to_have_count(1)
    expect(control.get_by_label("Part")).to_be_focused()


def test_a_setting_is_judged_at_its_field(page):
    go(page, "config")
    page.get_by_text("poll", exact=True).click()
    interval = page.locator('[name="poll.interval_s"]')
    interval.fill("-1")
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".error:visible")).to_contain_text("greater than 0")
    expect(interval).to_be_focused()
    page.screenshot(path=SHOTS / "wrong-setting-phone-light.png")
    interval.fill("30")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("pre")).to_have_text("[poll]\ninterval_s = 30.0\n")


def test_the_file_is_reloaded_and_the_history_tells_it(page, box):
    file = box.site.gateway.config
    file.write_text(file.read_text().replace('log_level = "info"', 'log_level = "debug"'))
    page.get_by_role("button", name="Reload gateway.toml").click()
    expect(page.locator("#announce")).to_contain_text("Settings changed: 1")
    expect(page.get_by_role("row", name=re.compile("page: admin at 127.0.0.1 in force gateway.log_level"))).to_be_visible()
    accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desk"])
def test_every_view_is_usable_and_has_its_picture(page, box, browser, size, scheme):
    context = browser.new_context(viewport=PHONE if size == "phone" else DESK, color_scheme=scheme, locale="en-GB" if scheme == "light" else "es-CO",
                                  storage_state=page.context.storage_state())
    tab = context.new_page()
    for view in VIEWS:
        tab.goto(f"{box.url}/#/{view}")
        expect(tab.locator(f'[data-view="{view}"] h1')).to_be_visible()
        expect(tab.locator(f'[data-view="{view}"] {FULL[view]}').first).to_be_visible()
        expect(tab.locator("#link-state")).to_have_text("Live" if scheme == "light" else "En directo")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than the {size}"
        tab.screenshot(path=SHOTS / f"{view}-{size}-{scheme}.png")
        accessible(tab)
    assert tab.evaluate("document.documentElement.lang") == ("en" if scheme == "light" else "es")
    context.close()


def test_all_is_reached_by_keyboard(page, box, browser):
    context = browser.new_context(viewport=DESK, locale="en-GB", storage_state=page.context.storage_state())
    tab = context.new_page()
    tab.goto(f"{box.url}/#/overview")
    expect(tab.locator("#link-state")).to_have_text("Live")
    tab.keyboard.press("Tab")
    expect(tab.locator("#skip")).to_be_focused()
    reached = []
    for _ in range(14):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))
    assert [f"nav-{view}" for view in VIEWS] == [name for name in reached if name and name.startswith("nav-")]
    tab.locator("#nav-meters").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#main")).to_be_focused()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("dialog", name="Add a meter")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("button", name="Add meter")).to_be_focused()
    context.close()


def test_touch_targets_are_large_enough(page):
    go(page, "meters")
    small = page.evaluate("""[...document.querySelectorAll('button, a.button, nav a, input:not([type=checkbox]), select')]
        .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44).map((each) => each.outerHTML.slice(0, 90))""")
    assert small == []


def test_logging_out_and_in_again(page):
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    accessible(page)
    page.screenshot(path=SHOTS / "login-phone-light.png")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".error:visible")).to_have_text("Wrong password.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#link-state")).to_have_text("Live")


def test_a_gateway_that_starts_anew_is_noticed(page, box):
    assert box.site.gateway.stop() == 0
    expect(page.locator("#link-state")).to_have_text("No connection to the gateway")
    box.site.start()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible(timeout=60_000)
