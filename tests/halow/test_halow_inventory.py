"""The inventory against folders as sysfs and /lib/modules have them, and this machine's own loopback."""

from pathlib import Path

from halow.inventory import missing_modules, take


def board(base: Path) -> tuple[Path, Path]:
    sys, modules = base / "sys", base / "modules"
    driver = sys / "bus/sdio/drivers/morse_sdio"
    (sys / "class/net/wlan1/device").mkdir(parents=True)
    driver.mkdir(parents=True)
    (sys / "class/net/wlan1/device/driver").symlink_to(driver)
    parameters = sys / "module/morse/parameters"
    parameters.mkdir(parents=True)
    (driver / "module").symlink_to(sys / "module/morse")
    for name, value in {"country": "EU\n", "bcf": "bcf_mf08551.bin\n", "serial": "(null)\n", "enable_ps": "0\n"}.items():
        (parameters / name).write_text(value)
    (sys / "module/morse/version").write_text("0-rel_1_12_4\n")
    for kernel, files in {"6.6.31": ("updates/dkms/morse.ko.xz", "updates/dkms/dot11ah.ko.xz"), "6.12.21": ("kernel/net/mac80211.ko",)}.items():
        for file in files:
            path = modules / kernel / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return sys, modules


def test_what_people_ask_first_is_told(tmp_path: Path) -> None:
    sys, modules = board(tmp_path)
    found = take("wlan1", sys=sys, modules=modules, kernel="6.6.31")
    assert (found.driver, found.module, found.module_version, found.country) == ("morse_sdio", "morse", "0-rel_1_12_4", "EU")
    told = dict(found.lines())
    assert told["module bcf"] == "bcf_mf08551.bin"
    assert "module serial" not in told
    assert told["regulation"].startswith("duty cycle 10 % (access point), 2.8 % (station), up to 1 MHz wide, 16.1 dBm EIRP; ERC")
    assert found.missing_modules == ()


def test_a_kernel_without_the_driver_that_the_one_before_had(tmp_path: Path) -> None:
    sys, modules = board(tmp_path)
    assert missing_modules("6.12.21", modules) == ("dot11ah.ko", "morse.ko")
    gone = take("", sys=sys, modules=modules, kernel="6.12.21")
    assert dict(gone.lines())["missing"] == "dot11ah.ko, morse.ko not built for kernel 6.12.21"
    assert missing_modules("6.12.21", tmp_path / "none") == ()


def test_an_interface_that_tells_nothing_and_one_that_is_not_there() -> None:
    assert take("lo").interface == "lo"
    assert take("no-such-one").driver == ""
