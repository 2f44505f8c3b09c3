"""The external tree, read: what it names is there, hashes are complete, and everything that lays out the card agrees."""

import configparser
import hashlib
import re
from pathlib import Path

import planted
import pytest
from planted import EXTERNAL, ROOT, change, external, fragments

COMMON = EXTERNAL / "board/common"
LABELS = ["boot", "bootstate", "kernel-A", "rootfs-A", "kernel-B", "rootfs-B", "data"]
BOARDS = sorted(path.name.removeprefix("halow_gateway_").removesuffix("_defconfig") for path in EXTERNAL.glob("configs/*"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return planted.copy(tmp_path)


def partitions() -> dict[str, str]:
    """Label -> the block of its partition in genimage.cfg, in order."""
    return dict(re.findall(r"^\tpartition ([\w-]+) \{\n(.*?)^\t\}", (COMMON / "genimage.cfg").read_text(), re.MULTILINE | re.DOTALL))


def test_the_card_has_the_contract_s_partitions_in_order() -> None:
    assert list(partitions()) == LABELS


def test_data_has_the_type_that_repart_grows() -> None:
    wanted = re.search(r"^Type=(\S+)$", (ROOT / "rootfs/usr/lib/repart.d/50-data.conf").read_text(), re.MULTILINE)
    assert wanted is not None
    assert f'partition-type-uuid = "{wanted[1]}"' in partitions()["data"]


def test_slots_are_equal_in_size() -> None:
    sizes = {label: re.search(r"size = (\w+)", block) for label, block in partitions().items()}
    for part in ("kernel", "rootfs"):
        a, b = sizes[f"{part}-A"], sizes[f"{part}-B"]
        assert a is not None
        assert b is not None
        assert a[1] == b[1]


def test_only_the_boot_partition_stands_in_the_mbr() -> None:
    assert [label for label, block in partitions().items() if re.search(r"partition-type = ", block)] == ["boot"]


def test_rauc_writes_the_partitions_that_the_boot_script_starts() -> None:
    system = configparser.ConfigParser()
    system.read(COMMON / "rootfs/etc/rauc/system.conf")
    script = (COMMON / "boot.cmd").read_text()
    assert system["system"]["bootloader"] == "uboot"
    for number, slot in enumerate("AB"):
        assert system[f"slot.rootfs.{number}"]["bootname"] == slot
        assert system[f"slot.rootfs.{number}"]["device"] == f"/dev/disk/by-partlabel/rootfs-{slot}"
        assert system[f"slot.kernel.{number}"]["device"] == f"/dev/disk/by-partlabel/kernel-{slot}"
        assert system[f"slot.kernel.{number}"]["parent"] == f"rootfs.{number}"
        assert f"BOOT_{slot}_LEFT" in script
    assert "root=PARTLABEL=rootfs-${slot}" in script
    assert "kernel-${slot}" in script


def test_a_build_on_trial_has_as_many_attempts_as_the_script_gives_a_new_card() -> None:
    system = configparser.ConfigParser()
    system.read(COMMON / "rootfs/etc/rauc/system.conf")
    given = set(re.findall(r"setenv BOOT_[AB]_LEFT (\d+)", (COMMON / "boot.cmd").read_text()))
    assert given == {system["system"]["boot-attempts-primary"]}


def test_rauc_and_the_boot_script_mean_the_same_environment() -> None:
    lines = [line for line in (COMMON / "rootfs/etc/fw_env.config").read_text().splitlines() if not line.startswith("#")]
    # One line: with two, fw_setenv takes the copies for a redundant environment, which has another header.
    assert lines == ["/dev/disk/by-partlabel/bootstate 0x0000 0x1000"]
    script = (COMMON / "boot.cmd").read_text()
    assert "env import -c ${state_addr} 1000 " in script
    assert "env export -c -s 1000 ${state_addr} " in script
    # 0x20 blocks of 512 bytes = 16 KiB; 8 blocks = 4 KiB
    assert "setexpr state_block_2 ${state_block} + 20" in script
    assert script.count(" 8\n") == 2
    assert script.count(" 8;") == 1


def test_the_second_copy_is_written_first() -> None:
    written = re.findall(r"write \$\{state_addr\} \$\{(\w+)\}", (COMMON / "boot.cmd").read_text())
    assert written == ["state_block_2", "state_block"]


def test_the_boot_script_has_no_apostrophe_that_its_shell_would_take_for_a_quote() -> None:
    for number, line in enumerate((COMMON / "boot.cmd").read_text().splitlines(), 1):
        assert line.lstrip().startswith("#") or "'" not in line, f"line {number}"


def test_the_rehearsal_s_disk_has_the_same_partitions() -> None:
    """It takes the boot script and RAUC's settings from here (tools/image/build.py) and lays out its own disk."""
    layout = (ROOT / "tools/image/disk.py").read_text()
    assert re.findall(r"^  partition ([\w-]+) \{", layout, re.MULTILINE) == LABELS


@pytest.mark.parametrize("board", BOARDS)
def test_each_board_is_whole(board: str) -> None:
    defconfig = (EXTERNAL / f"configs/halow_gateway_{board}_defconfig").read_text()
    assert f'BR2_HALOW_BOARD="{board}"' in defconfig
    assert re.search(rf"^BOARDS := .*\b{board}\b", (EXTERNAL / "Makefile").read_text(), re.MULTILINE)
    for setting in ("BR2_INIT_SYSTEMD", "BR2_PACKAGE_LIBSECCOMP", "BR2_PACKAGE_RAUC", "BR2_PACKAGE_NFTABLES", "BR2_PACKAGE_LIBUBOOTENV",
                    "BR2_PACKAGE_E2FSPROGS", "BR2_PACKAGE_SYSTEMD_REPART", "BR2_PACKAGE_UTIL_LINUX_SETPRIV", "BR2_DOWNLOAD_FORCE_CHECK_HASHES",
                    "BR2_TARGET_ROOTFS_SQUASHFS4_ZSTD", "BR2_INIT_SYSTEMD_VAR_NONE", "BR2_PACKAGE_HALOW_GATEWAY"):
        assert f"\n{setting}=y\n" in defconfig, setting
    assert "# BR2_TARGET_GENERIC_REMOUNT_ROOTFS_RW is not set" in defconfig


@pytest.mark.parametrize("board", [board for board in BOARDS if board.startswith("rpi")])
def test_nobody_logs_in_as_root_on_a_board(board: str) -> None:
    assert "# BR2_TARGET_ENABLE_ROOT_LOGIN is not set" in (EXTERNAL / f"configs/halow_gateway_{board}_defconfig").read_text()


def test_the_user_has_the_number_of_sysusers() -> None:
    declared = re.search(r"^u halow-gateway (\d+) ", (ROOT / "rootfs/usr/lib/sysusers.d/halow-gateway.conf").read_text(), re.MULTILINE)
    assert declared is not None
    assert f"halow-gateway {declared[1]} halow-gateway {declared[1]} " in (EXTERNAL / "package/halow-gateway/halow-gateway.mk").read_text()


def test_the_python_form_has_the_releases_that_are_pinned() -> None:
    pins = dict(re.findall(r'^    "([\w-]+)==([\d.]+)",', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for name, package in (("gmqtt", "python-gmqtt"), ("dlms-cosem", "python-dlms-cosem"), ("pyroute2", "python-pyroute2-halow")):
        text = (EXTERNAL / f"package/{package}/{package}.mk").read_text()
        assert external.variables(text)[external.prefix(package) + "VERSION"] == pins[name]


def test_nothing_that_is_named_is_missing() -> None:
    assert external.missing_files(EXTERNAL) == []


def test_every_archive_and_licence_has_a_hash() -> None:
    assert external.missing_hashes(EXTERNAL) == []


def test_our_own_licence_is_the_one_that_was_hashed() -> None:
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    for package in ("halow-gateway", "python-halow-gateway"):
        known, faults = external.hashes(EXTERNAL / f"package/{package}/{package}.hash")
        assert not faults
        assert known["LICENSE"] == digest


def test_the_fragments_agree_with_each_other() -> None:
    wanted, faults = fragments.read_fragments(sorted(EXTERNAL.glob("linux/*.fragment")))
    assert faults == []
    assert len(wanted) > 100


def test_what_the_root_needs_is_built_in() -> None:
    """There is no initramfs, so none of it may be a module."""
    wanted, _ = fragments.read_fragments([EXTERNAL / "linux/root.fragment"])
    assert {value for value, _ in wanted.values()} <= {"y", "n"}
    for name in ("SQUASHFS_ZSTD", "EXT4_FS", "VFAT_FS", "DM_VERITY", "BLK_DEV_LOOP", "EFI_PARTITION"):
        assert wanted[name][0] == "y"


def test_a_missing_hash_is_found(tree: Path) -> None:
    change(tree / "package/python-gmqtt/python-gmqtt.hash", "gmqtt-0.8.0.tar.gz", "gmqtt-0.7.0.tar.gz")
    assert external.missing_hashes(tree) == ["python-gmqtt: no sha256 of gmqtt-0.8.0.tar.gz in python-gmqtt.hash"]


def test_a_missing_hash_file_and_a_malformed_line_are_found(tree: Path) -> None:
    (tree / "package/python-gmqtt/python-gmqtt.hash").unlink()
    change(tree / "package/python-msgspec/python-msgspec.hash", "sha256  6", "sha1  6")
    faults = external.missing_hashes(tree)
    assert "python-gmqtt: python-gmqtt.hash is missing" in faults
    assert any(fault.startswith("python-msgspec.hash:4: ") for fault in faults)
    assert "python-msgspec: no sha256 of LICENSE in python-msgspec.hash" in faults


def test_a_licence_without_a_hash_is_found(tree: Path) -> None:
    change(tree / "package/python-msgspec/python-msgspec.mk", "LICENSE_FILES = LICENSE", "LICENSE_FILES = LICENSE NOTICE")
    assert external.missing_hashes(tree) == ["python-msgspec: no sha256 of NOTICE in python-msgspec.hash"]


def test_a_file_that_is_not_there_is_found(tree: Path) -> None:
    (tree / "linux/watchdog.fragment").unlink()
    assert len(external.missing_files(tree)) == len(BOARDS)


def test_a_symbol_that_nobody_defines_is_found(tree: Path) -> None:
    defined = external.defined_symbols(EXTERNAL) | {"BR2_INIT_SYSTEMD"}
    assert "package/halow-gateway/Config.in:3: BR2_INIT_SYSTEMD is defined nowhere" not in external.unknown_symbols(tree, defined)
    change(tree / "package/halow-gateway/Config.in", "BR2_INIT_SYSTEMD", "BR2_INIT_SYTSEMD")
    assert "package/halow-gateway/Config.in:3: BR2_INIT_SYTSEMD is defined nowhere" in external.unknown_symbols(tree, defined)


def test_a_misspelt_variable_is_found(tree: Path) -> None:
    known = {"VERSION", "SOURCE", "SITE", "LICENSE", "LICENSE_FILES", "SETUP_TYPE", "DEPENDENCIES"}
    path = tree / "package/python-msgspec/python-msgspec.mk"
    change(path, "PYTHON_MSGSPEC_LICENSE =", "PYTHON_MSGSPEC_LICENCE =")
    faults = [fault for fault in external.unknown_variables(tree, known) if fault.startswith("python-msgspec")]
    assert faults == ["python-msgspec.mk: PYTHON_MSGSPEC_LICENCE is read by nobody; misspelt?"]


def test_a_hook_is_read_and_one_that_hangs_nowhere_is_found(tree: Path) -> None:
    known = {"VERSION", "SOURCE", "SITE", "LICENSE", "LICENSE_FILES", "SETUP_TYPE", "EXTRACT_CMDS", "BUILD_CMDS", "POST_INSTALL_TARGET_HOOKS"}
    path = tree / "package/python-dlms-cosem/python-dlms-cosem.mk"
    assert not [fault for fault in external.unknown_variables(tree, known) if fault.startswith("python-dlms-cosem")]
    change(path, "HOOKS += PYTHON_DLMS_COSEM_REMOVE_TESTS", "HOOKS += PYTHON_DLMS_COSEM_REMOVE_TEST")
    faults = [fault for fault in external.unknown_variables(tree, known) if fault.startswith("python-dlms-cosem")]
    assert faults == ["python-dlms-cosem.mk: PYTHON_DLMS_COSEM_REMOVE_TESTS is read by nobody; misspelt?"]


def test_a_dropped_option_is_found() -> None:
    wanted = {"SQUASHFS": ("y", "root.fragment"), "CFG80211": ("m", "wireless.fragment"), "SWAP": ("n", "root.fragment")}
    config = fragments.read_options("CONFIG_CFG80211=y\n# CONFIG_SQUASHFS is not set\nCONFIG_SWAP=y\n")
    assert fragments.dropped(wanted, config) == [
        "root.fragment: CONFIG_SQUASHFS=y became n", "root.fragment: CONFIG_SWAP=n became y"]


def test_options_against_each_other_and_lines_that_are_none_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.fragment").write_text("CONFIG_SWAP=y\n")
    (tmp_path / "b.fragment").write_text("# CONFIG_SWAP is not set\n")
    (tmp_path / "c.fragment").write_text("CONFIG-SWAP=y\n")
    _, faults = fragments.read_fragments(sorted(tmp_path.glob("*.fragment")))
    assert faults == ["CONFIG_SWAP is y in a.fragment and n in b.fragment", "c.fragment: line 1: 'CONFIG-SWAP=y' is no option"]
