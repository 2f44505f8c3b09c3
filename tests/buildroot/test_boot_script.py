"""The boot script under a real U-Boot: which slot it starts, what it stores, and that no state of the card ends it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from bootdisk import ENVIRONMENT_BYTES, SECOND_COPY_AT, UBOOT, Card, environment

TOOLS = ("qemu-system-aarch64", "mkimage", "genimage", "mkfs.vfat", "mcopy", "mke2fs")
MISSING = [name for name in TOOLS if not shutil.which(name, path="/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")]
if not UBOOT.exists():
    MISSING.append("u-boot-qemu")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"missing: {' '.join(MISSING)}")


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return Card(tmp_path_factory.mktemp("card"))


@pytest.fixture
def card(blank: Card) -> Card:
    """A card whose state is damaged in both copies: as it leaves the writer, or after the worst."""
    blank.write("bootstate", 0, bytes(SECOND_COPY_AT * 2))
    return blank


def remember(card: Card, *, first: bytes | None = None, second: bytes | None = None) -> None:
    for offset, blob in ((0, first), (SECOND_COPY_AT, second)):
        if blob is not None:
            card.write("bootstate", offset, blob)


def slot_of(arguments: str | None) -> str | None:
    if arguments is None:
        return None
    slot = arguments.partition("rauc.slot=")[2][:1]
    assert f"root=PARTLABEL=rootfs-{slot} " in arguments
    return slot


def test_a_new_card_starts_a_and_stores_two_equal_copies(card: Card) -> None:
    arguments, _ = card.start()
    assert slot_of(arguments) == "A"
    assert card.state(0) == card.state(1) == {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "2", "BOOT_B_LEFT": "3"}
    assert arguments is not None
    for word in ("ro", "rootfstype=squashfs", "panic=5", "quiet"):
        assert word in arguments.split()


def test_attempts_run_down_in_order_and_begin_again(card: Card) -> None:
    remember(card, first=environment(BOOT_ORDER="B A", BOOT_A_LEFT="1", BOOT_B_LEFT="2"))
    assert [slot_of(card.start()[0]) for _ in range(4)] == ["B", "B", "A", "B"]
    assert card.state(0) == {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "2"}


@pytest.mark.parametrize("damage", [b"\x01", bytes(ENVIRONMENT_BYTES), b"\xff" * ENVIRONMENT_BYTES], ids=["one byte", "zeros", "erased"])
def test_a_torn_first_copy_falls_back_to_the_second_and_is_mended(card: Card, damage: bytes) -> None:
    state = environment(BOOT_ORDER="B A", BOOT_A_LEFT="3", BOOT_B_LEFT="3")
    remember(card, first=state, second=state)
    remember(card, first=damage)
    assert slot_of(card.start()[0]) == "B"
    assert card.state(0) == card.state(1) == {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "2"}


def test_the_first_copy_goes_before_an_older_second(card: Card) -> None:
    """RAUC writes the first only."""
    remember(card, first=environment(BOOT_ORDER="B A", BOOT_A_LEFT="3", BOOT_B_LEFT="3"),
             second=environment(BOOT_ORDER="A B", BOOT_A_LEFT="2", BOOT_B_LEFT="3"))
    assert slot_of(card.start()[0]) == "B"


@pytest.mark.parametrize("state", [
    {"BOOT_ORDER": "", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"},
    {"BOOT_ORDER": "C system1", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"},
    {"BOOT_ORDER": "A B"},
    {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "many", "BOOT_B_LEFT": "-1"},
    {"BOOT_A_LEFT": "3"},
], ids=lambda state: ",".join(f"{name}={value}" for name, value in state.items()))
def test_a_state_that_makes_no_sense_still_starts_a_slot(card: Card, state: dict[str, str]) -> None:
    remember(card, first=environment(**state))
    assert slot_of(card.start()[0]) == "A"
    assert card.state(0) == {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "2", "BOOT_B_LEFT": "3"}


def test_only_one_slot_in_the_order_is_enough(card: Card) -> None:
    remember(card, first=environment(BOOT_ORDER="B", BOOT_A_LEFT="3", BOOT_B_LEFT="1"))
    assert [slot_of(card.start()[0]) for _ in range(2)] == ["B", "B"]


def test_a_slot_without_a_kernel_costs_its_attempts_and_gives_way(card: Card) -> None:
    head = card.image.read_bytes()[card.at["kernel-A"][0]:][:512]
    remember(card, first=environment(BOOT_ORDER="A B", BOOT_A_LEFT="2", BOOT_B_LEFT="3"))
    card.write("kernel-A", 0, bytes(512))
    try:
        arguments, console = card.start()
        assert arguments is None
        assert "A cannot be started, resetting" in console
        assert [slot_of(card.start()[0]) for _ in range(2)] == [None, "B"]
    finally:
        card.write("kernel-A", 0, head)


def test_what_the_firmware_says_to_the_kernel_is_kept(card: Card, tmp_path: Path) -> None:
    if not shutil.which("fdtput"):
        pytest.skip("fdtput (device-tree-compiler) is missing")
    tree = tmp_path / "firmware.dtb"
    subprocess.run(["qemu-system-aarch64", "-machine", f"virt,dumpdtb={tree}", "-cpu", "cortex-a53", "-m", "512", "-nodefaults", "-display", "none"],
                   check=True, capture_output=True)
    subprocess.run(["fdtput", "-t", "s", tree, "/chosen", "bootargs", "coherent_pool=1M console=ttyAMA0,115200"], check=True)
    arguments, _ = card.start(tree=tree)
    assert arguments is not None
    words = arguments.split()
    assert words.index("console=ttyAMA0,115200") < words.index("root=PARTLABEL=rootfs-A")
    assert any(word.endswith("coherent_pool=1M") for word in words)


def test_fw_setenv_reads_and_writes_what_the_script_does(card: Card, tmp_path: Path) -> None:
    """RAUC calls fw_printenv and fw_setenv; on the board the device is the partition, here it is the image."""
    if not shutil.which("fw_setenv"):
        pytest.skip("fw_setenv (libubootenv-tool) is missing")
    card.start()
    settings = tmp_path / "fw_env.config"
    settings.write_text(f"{card.image} 0x{card.at['bootstate'][0]:x} 0x{ENVIRONMENT_BYTES:x}\n")
    shown = subprocess.run(["fw_printenv", "-c", settings, "BOOT_A_LEFT"], check=True, capture_output=True, text=True)
    assert shown.stdout == "BOOT_A_LEFT=2\n"
    subprocess.run(["fw_setenv", "-c", settings, "BOOT_ORDER", "B A"], check=True)
    assert slot_of(card.start()[0]) == "B"
