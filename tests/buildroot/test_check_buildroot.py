"""The check against a real Buildroot, with one fault planted at a time. BUILDROOT_DIR names the checkout, KERNEL_DIR a kernel source."""

import os
import subprocess
from pathlib import Path

import planted
import pytest
from planted import BUILDROOT_DIR, EXTERNAL, KERNEL_DIR, asked, change
from planted import check as checks

pytestmark = [pytest.mark.skipif(not BUILDROOT_DIR, reason="BUILDROOT_DIR names no Buildroot"), pytest.mark.timeout(600)]
QEMU = "halow_gateway_qemu_aarch64_defconfig"
RPI4 = "halow_gateway_rpi4_64_defconfig"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return planted.copy(tmp_path / "repository")


@pytest.fixture
def check(tree: Path, tmp_path: Path) -> checks.Check:
    assert BUILDROOT_DIR is not None
    return checks.Check(asked.Buildroot(Path(BUILDROOT_DIR), [tree], tmp_path / "work"), tree, Path(KERNEL_DIR) if KERNEL_DIR else None)


def test_a_misspelt_setting_is_dropped_and_found(check: checks.Check, tree: Path) -> None:
    change(tree / "configs" / QEMU, "BR2_PACKAGE_NFTABLES=y", "BR2_PACKAGE_NFTALBES=y")
    faults = check.defconfig(tree / "configs" / QEMU)
    assert "Missing: BR2_PACKAGE_NFTALBES=y" in faults
    assert "not stable: -BR2_PACKAGE_NFTALBES=y" in faults


def test_a_setting_that_is_the_default_makes_it_unstable_and_the_source_stays_as_it_is(check: checks.Check, tree: Path) -> None:
    path = tree / "configs" / QEMU
    change(path, "BR2_aarch64=y\n", "BR2_aarch64=y\nBR2_PACKAGE_BUSYBOX=y\n")
    before = path.read_bytes()
    assert check.defconfig(path) == ["not stable: -BR2_PACKAGE_BUSYBOX=y"]
    assert path.read_bytes() == before


def test_a_dependency_that_goes_round_is_found(check: checks.Check, tree: Path) -> None:
    change(tree / "package/halow-gateway/Config.in", "	depends on BR2_INIT_SYSTEMD\n", "	depends on BR2_INIT_SYSTEMD\n	depends on !BR2_PACKAGE_PYTHON3\n")
    assert any("recursive dependency" in fault for fault in check.defconfig(tree / "configs" / QEMU))


def test_a_select_of_nothing_is_found(check: checks.Check, tree: Path) -> None:
    change(tree / "Config.in", "select BR2_PACKAGE_HOSTAPD\n", "select BR2_PACKAGE_HOSTADP\n")
    assert any("BR2_PACKAGE_HOSTADP is defined nowhere" in fault for fault in check.symbols())


def test_an_unknown_dependency_is_found(check: checks.Check, tree: Path) -> None:
    change(tree / "package/halow-gateway/halow-gateway.mk", "HALOW_GATEWAY_SOURCE =\n", "HALOW_GATEWAY_SOURCE =\nHALOW_GATEWAY_DEPENDENCIES = libnothing\n")
    check.buildroot.load(QEMU, tree / "configs" / QEMU)
    assert any("libnothing" in fault for fault in check.packages(QEMU))


def test_a_package_without_version_or_licence_is_found(check: checks.Check, tree: Path) -> None:
    path = tree / "package/halow-gateway/halow-gateway.mk"
    change(path, "HALOW_GATEWAY_VERSION =", "HALOW_GATEWAY_VERISON =")
    change(path, "HALOW_GATEWAY_LICENSE =", "HALOW_GATEWAY_LICENCE =")
    check.buildroot.load(QEMU, tree / "configs" / QEMU)
    faults = check.packages(QEMU)
    assert "halow-gateway: no version" in faults
    assert "halow-gateway: no licence" in faults


def test_the_style_of_buildroot_is_asked_for(check: checks.Check, tree: Path) -> None:
    change(tree / "package/python-gmqtt/Config.in", "	bool", "    bool")
    assert any(fault.startswith("package/python-gmqtt/Config.in:2") for fault in check.style())


@pytest.mark.skipif(not KERNEL_DIR, reason="KERNEL_DIR names no kernel source")
def test_a_kernel_option_that_does_not_come_through_is_found(check: checks.Check, tree: Path) -> None:
    fragment = tree / "linux/nftables.fragment"
    fragment.write_text(fragment.read_text().replace("CONFIG_NF_TABLES=y\n", "# CONFIG_NF_TABLES is not set\n") + "CONFIG_NFT_LIMITS=y\n")
    check.buildroot.load(QEMU, tree / "configs" / QEMU)
    faults = check.fragments(tree / "configs" / QEMU)
    assert "nftables.fragment: CONFIG_NFT_LIMITS=y became n" in faults
    assert "nftables.fragment: CONFIG_NFT_LIMIT=y became n" in faults


def test_what_is_no_buildroot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(asked.BuildrootError, match="no Buildroot checkout"):
        asked.Buildroot(tmp_path, [EXTERNAL], tmp_path)


# What the build asks for before it begins.

def build(tree: Path, output: Path, *words: str) -> str:
    """Start a build that must stop at once; return what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HALOW_", "RAUC_", "BR2_"))}
    done = subprocess.run(["make", "-C", tree, f"BUILDROOT_DIR={BUILDROOT_DIR}", f"OUTPUT={output}", *words],
                          check=False, capture_output=True, text=True, env=kept)
    assert done.returncode != 0
    return done.stderr


@pytest.fixture
def binary(tmp_path: Path) -> str:
    (tmp_path / "binary/licenses").mkdir(parents=True)
    (tmp_path / "binary/halow-gateway").write_bytes(b"")
    return f"HALOW_GATEWAY_BINARY={tmp_path}/binary"


def test_the_build_stops_without_the_radio_and_says_what_is_missing(tree: Path, tmp_path: Path, binary: str) -> None:
    said = build(tree, tmp_path / "out", "rpi4_64", binary)
    assert "The radio's packages are missing: halow-driver halow-firmware halow-daemons." in said
    assert "HALOW_VENDOR_DIR" in said
    assert "RADIO=none" in said


def test_the_build_stops_without_the_executable(tree: Path, tmp_path: Path) -> None:
    assert "make binary-aarch64" in build(tree, tmp_path / "out", "rpi4_64", "RADIO=none", f"HALOW_GATEWAY_BINARY={tmp_path}")


def test_the_build_stops_without_a_certificate_and_makes_no_key(tree: Path, tmp_path: Path, binary: str) -> None:
    said = build(tree, tmp_path / "out", "rpi4_64", "RADIO=none", binary)
    assert "RAUC_KEYRING is not set" in said
    assert not list((tmp_path / "out").rglob("*.key"))


def test_the_build_stops_at_a_radio_it_does_not_know(tree: Path, tmp_path: Path) -> None:
    assert "RADIO=morse is not known; one of: morse-spi" in build(tree, tmp_path / "out", "rpi4_64", "RADIO=morse")


VENDOR = {
    "external.desc": "name: TOY_VENDOR\ndesc: what a vendor's folder must hold\n",
    "Config.in": "".join(f'source "$BR2_EXTERNAL_TOY_VENDOR_PATH/package/toy-{part}/Config.in"\n' for part in ("driver", "firmware", "daemons")),
    "external.mk": "include $(sort $(wildcard $(BR2_EXTERNAL_TOY_VENDOR_PATH)/package/*/*.mk))\n",
} | {
    f"package/toy-{part}/Config.in": f'config BR2_PACKAGE_TOY_{part.upper()}\n\tbool "toy-{part}"\n\tdefault y\n'
    f"\tdepends on BR2_HALOW_RADIO_MORSE\n\tselect BR2_PACKAGE_HAS_HALOW_{part.upper()}\n\nif BR2_PACKAGE_TOY_{part.upper()}\n\n"
    f'config BR2_PACKAGE_PROVIDES_HALOW_{part.upper()}\n\tdefault "toy-{part}"\n\nendif\n'
    for part in ("driver", "firmware", "daemons")
} | {
    f"package/toy-{part}/toy-{part}.mk": f"TOY_{part.upper()}_VERSION = 1\nTOY_{part.upper()}_SOURCE =\n\n$(eval $(generic-package))\n"
    for part in ("driver", "firmware", "daemons")
}


def test_a_vendor_s_folder_gives_the_radio(tree: Path, tmp_path: Path, binary: str) -> None:
    """The contract of HALOW_VENDOR_DIR: a Buildroot tree whose packages provide halow-driver, halow-firmware, halow-daemons."""
    vendor = tmp_path / "vendor"
    for name, text in VENDOR.items():
        (vendor / name).parent.mkdir(parents=True, exist_ok=True)
        (vendor / name).write_text(text)
    words = ("rpi4_64", binary, f"HALOW_VENDOR_DIR={vendor}")
    assert "COUNTRY is not set" in build(tree, tmp_path / "out", *words)
    assert "RAUC_KEYRING is not set" in build(tree, tmp_path / "out", *words, "COUNTRY=AU")
    assert BUILDROOT_DIR is not None
    buildroot = asked.Buildroot(Path(BUILDROOT_DIR), [tree, vendor], tmp_path / "work")
    _, faults = buildroot.load(RPI4, tree / "configs" / RPI4)
    assert faults == []
    assert buildroot.packages(RPI4)["halow-driver"]["dependencies"].count("toy-driver") == 1


@pytest.mark.parametrize("form", checks.FORMS)
def test_each_form_loads(check: checks.Check, tree: Path, form: str) -> None:
    assert check.buildroot.load(form, tree / "configs" / RPI4, checks.FORMS[form])[1] == []
