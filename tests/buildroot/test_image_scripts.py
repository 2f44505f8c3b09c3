"""post-build.sh, settings, check-executable and the overlays, run on small trees; what a full build would call them with."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from planted import EXTERNAL, ROOT

COMMON = EXTERNAL / "board/common"
OVERLAYS = sorted(COMMON.glob("overlays/*.dts"))
# The names in the Raspberry Pi's device tree that an overlay hangs on.
BASE = """/dts-v1/;
/ {
    compatible = "brcm,bcm2711", "brcm,bcm2835";
    gpio: gpio { #gpio-cells = <2>; gpio-controller; spi0_pins: spi0_pins {}; spi0_cs_pins: spi0_cs_pins { brcm,pins = <8 7>; }; };
    spi0: spi { #address-cells = <1>; #size-cells = <0>; status = "disabled"; spidev0: spidev@0 { reg = <0>; }; spidev1: spidev@1 { reg = <1>; }; };
    i2c1: i2c {};
    mmc: mmc { status = "disabled"; };
    mmcnr: mmcnr {};
};
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target tree as the overlays leave it."""
    root = tmp_path / "target"
    shutil.copytree(ROOT / "rootfs", root, symlinks=True)
    shutil.copytree(COMMON / "rootfs", root, dirs_exist_ok=True)
    (root / "usr/lib/os-release").write_text("NAME=Buildroot\nVERSION=2026.02.3\nBUILD_ID=old\n")
    return root


def post_build(target: Path, config: str, *, keyring: str = "-----BEGIN CERTIFICATE-----\n") -> subprocess.CompletedProcess[str]:
    place = target.parent
    (place / "keyring.pem").write_text(keyring)
    (place / "config").write_text(f'BR2_HALOW_BOARD="rpi4_64"\nBR2_HALOW_RAUC_KEYRING="{place}/keyring.pem"\n{config}')
    return subprocess.run([COMMON / "post-build.sh", target], check=False, capture_output=True, text=True,
                          env={**os.environ, "BR2_CONFIG": str(place / "config")})


MORSE = 'BR2_HALOW_RADIO_MORSE=y\nBR2_HALOW_RADIO_COUNTRY="{}"\nBR2_HALOW_RADIO_BOARD_FILE="bcf_x.bin"\n'


def test_post_build_names_board_build_country_and_board_file(target: Path) -> None:
    done = post_build(target, MORSE.format("AU"))
    assert done.returncode == 0, done.stderr
    assert "compatible=halow-gateway-rpi4_64\n" in (target / "etc/rauc/system.conf").read_text()
    assert (target / "etc/rauc/keyring.pem").read_text() == "-----BEGIN CERTIFICATE-----\n"
    assert (target / "usr/lib/modprobe.d/halow-radio.conf").read_text() == (
        "options morse country=AU enable_ps=0 enable_watchdog=Y bcf=bcf_x.bin\n")
    assert (target / "usr/lib/modules-load.d/halow-radio.conf").read_text() == "morse\n"
    release = (target / "usr/lib/os-release").read_text()
    assert release.count("BUILD_ID=") == 1
    assert "BUILD_ID=old" not in release
    assert (target / "data").is_dir()
    assert (target / "etc/machine-id").read_bytes() == b""


def test_another_configuration_is_another_build(target: Path) -> None:
    ids = []
    for country in ("AU", "US"):
        assert post_build(target, MORSE.format(country)).returncode == 0
        ids.append((target / "usr/lib/os-release").read_text().partition("BUILD_ID=")[2])
    assert ids[0] != ids[1]


def test_newracom_gets_the_interrupt_of_its_overlay(target: Path) -> None:
    done = post_build(target, 'BR2_HALOW_RADIO_NEWRACOM=y\nBR2_HALOW_RADIO_COUNTRY="US"\n')
    assert done.returncode == 0, done.stderr
    line = (target / "usr/lib/modprobe.d/halow-radio.conf").read_text()
    assert line.startswith("options nrc fw_name=uni_s1g.bin ")
    assert " spi_gpio_irq=5 " in line
    assert "brcm,pins = <5>;" in (COMMON / "overlays/halow-newracom-spi.dts").read_text()


@pytest.mark.parametrize(("country", "reason"), [("XX", "stands not in"), ("AR", "COUNTRY=AR: ")])
def test_a_country_that_the_vendor_does_not_have_stops_the_build(target: Path, country: str, reason: str) -> None:
    done = post_build(target, MORSE.format(country))
    assert done.returncode == 1
    assert reason in done.stderr


def test_a_private_key_never_gets_into_the_image(target: Path) -> None:
    done = post_build(target, "BR2_HALOW_RADIO_NONE=y\n", keyring="-----BEGIN PRIVATE KEY-----\n")
    assert done.returncode == 1
    assert "private key" in done.stderr
    assert not (target / "etc/rauc/keyring.pem").exists()


def test_an_image_without_a_radio_has_no_parameters(target: Path) -> None:
    assert post_build(target, "BR2_HALOW_RADIO_NONE=y\n").returncode == 0
    assert not (target / "usr/lib/modprobe.d/halow-radio.conf").exists()
    assert not (target / "usr/lib/modules-load.d/halow-radio.conf").exists()


@pytest.mark.skipif(not shutil.which("fdtoverlay"), reason="device-tree-compiler is missing")
@pytest.mark.parametrize("source", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_compiles_and_hangs_on_the_board_s_tree(source: Path, tmp_path: Path) -> None:
    (tmp_path / "base.dts").write_text(BASE)
    for name, path in (("base", tmp_path / "base.dts"), ("overlay", source)):
        subprocess.run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", tmp_path / f"{name}.dtb", path], check=True)
    subprocess.run(["fdtoverlay", "-i", tmp_path / "base.dtb", "-o", tmp_path / "both.dtb", tmp_path / "overlay.dtb"], check=True)
    bus = "/mmc" if "sdio" in source.stem else "/spi"
    shown = subprocess.run(["fdtget", tmp_path / "both.dtb", bus, "status"], check=True, capture_output=True, text=True)
    assert shown.stdout == "okay\n"
    if source.stem == "halow-morse-spi":
        # GPIO 7 is the busy line then; two owners of one pin, and the radio's driver would not start.
        pins = subprocess.run(["fdtget", tmp_path / "both.dtb", "/gpio/spi0_cs_pins", "brcm,pins"], check=True, capture_output=True, text=True)
        assert pins.stdout == "8\n"
    if "morse" in source.stem:
        node = f"{bus}/radio@{2 if 'sdio' in source.stem else 0}"
        compatible = subprocess.run(["fdtget", tmp_path / "both.dtb", node, "compatible"], check=True, capture_output=True, text=True)
        assert compatible.stdout.strip() in {"morse,mm610x", "morse,mm610x-spi"}


@pytest.mark.parametrize(("words", "lines"), [
    (["radio=morse-sdio", "country=AU"], ["BR2_HALOW_RADIO_MORSE_SDIO=y", 'BR2_HALOW_RADIO_COUNTRY="AU"']),
    (["radio=none", "form=python"], ["BR2_HALOW_RADIO_NONE=y", "BR2_PACKAGE_HALOW_GATEWAY_PYTHON=y"]),
    (["key=pkcs11:object=update", "cert=/c.pem"], ['BR2_HALOW_RAUC_KEY="pkcs11:object=update"', 'BR2_HALOW_RAUC_CERT="/c.pem"']),
])
def test_what_is_said_to_make_becomes_settings(words: list[str], lines: list[str]) -> None:
    done = subprocess.run([EXTERNAL / "settings", *words], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == lines


def test_an_unknown_word_is_refused() -> None:
    done = subprocess.run([EXTERNAL / "settings", "form=wheel"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "form=wheel is not known" in done.stderr


@pytest.mark.parametrize(("needed", "given", "status"), [("2.36", "2.41", 0), ("2.36", "2.36", 0), ("2.36", "2.9", 1), ("2.36", "2.35", 1)])
def test_a_newer_glibc_than_the_image_s_is_refused(tmp_path: Path, needed: str, given: str, status: int) -> None:
    """With a readelf that answers for the file's text; the real one is asked below."""
    readelf = tmp_path / "readelf"
    readelf.write_text('#!/bin/sh\n[ "$1" = -V ] && cat "$2" || echo "  Machine:    AArch64"\n')
    readelf.chmod(0o755)
    for name, version in (("program", needed), ("libc", given)):
        (tmp_path / name).write_text(f"Name: GLIBC_2.17  Flags: none\nName: GLIBC_{version}  Flags: none\nName: GLIBC_PRIVATE\n")
    done = subprocess.run([EXTERNAL / "package/halow-gateway/check-executable", readelf, tmp_path / "program", tmp_path / "libc"],
                          check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert bool(done.stderr) == bool(status)


@pytest.mark.skipif(not shutil.which("readelf"), reason="binutils is missing")
def test_an_executable_of_another_machine_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x28\x00\x01\x00\x00\x00" + bytes(28))      # ELF32, Arm
    done = subprocess.run([EXTERNAL / "package/halow-gateway/check-executable", "readelf", program, program], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is no executable for aarch64" in done.stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is missing")
def test_the_scripts_are_clean() -> None:
    scripts = [*COMMON.glob("*.sh"), EXTERNAL / "settings", EXTERNAL / "package/halow-gateway/check-executable"]
    done = subprocess.run(["shellcheck", *scripts], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
