"""post-image.sh on small stand-ins for Buildroot's images: the card, the boot partition, the signed bundle, and the card growing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bootdisk import partitions
from planted import EXTERNAL, ROOT

TOOLS = ("genimage", "mkfs.vfat", "mcopy", "mke2fs", "dtc", "rauc", "mksquashfs", "openssl")
MISSING = [name for name in TOOLS if not shutil.which(name, path="/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"missing: {' '.join(MISSING)}")
PATH = "/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def key(folder: Path, name: str) -> tuple[Path, Path]:
    made = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-keyout", made[0], "-out", made[1]], check=True, capture_output=True)
    return made


class Build:
    """What Buildroot leaves to a post-image script."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, folder / "images"
        for name in ("images/rpi-firmware/overlays", "host/bin", "build", "target/usr/lib"):
            (folder / name).mkdir(parents=True)
        for name in ("u-boot.bin", "boot.scr", "bcm2711-rpi-4-b.dtb", "Image", "rpi-firmware/start4.elf"):
            (self.images / name).write_bytes(name.encode() * 100)
        (self.images / "rootfs.squashfs").write_bytes(b"hsqs" + os.urandom(65532))
        shutil.copy(EXTERNAL / "board/rpi4_64/config.txt", self.images / "rpi-firmware")
        (folder / "host/bin/dtc").symlink_to(shutil.which("dtc") or "dtc")
        (folder / "target/usr/lib/os-release").write_text("BUILD_ID=1.2.3-abc\n")
        self.key, self.certificate = key(folder, "update")

    def run(self, settings: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "config").write_text(f'BR2_HALOW_BOARD="rpi4_64"\nBR2_HALOW_RAUC_KEYRING="{self.certificate}"\n{settings}')
        return subprocess.run([EXTERNAL / "board/common/post-image.sh", self.images], check=False, capture_output=True, text=True, env={
            "PATH": PATH, "BUILD_DIR": str(self.folder / "build"), "HOST_DIR": str(self.folder / "host"),
            "TARGET_DIR": str(self.folder / "target"), "BR2_CONFIG": str(self.folder / "config")})

    @property
    def card(self) -> Path:
        return self.images / "halow-gateway.img"

    @property
    def bundle(self) -> Path:
        return self.images / "halow-gateway-rpi4_64.raucb"


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_the_boot_partition_has_firmware_loader_script_trees_and_the_radio_s_overlay(build: Build) -> None:
    done = build.run("BR2_HALOW_RADIO_MORSE_SPI=y\n")
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(["mdir", "-b", "-/", "-i", build.images / "boot.vfat", "::/"], check=True, capture_output=True, text=True)
    names = {line.removeprefix("::/") for line in shown.stdout.splitlines()}
    assert {"start4.elf", "config.txt", "u-boot.bin", "boot.scr", "bcm2711-rpi-4-b.dtb", "overlays/halow-morse-spi.dtbo", "README.txt"} <= names
    config = subprocess.run(["mtype", "-i", build.images / "boot.vfat", "::/config.txt"], check=True, capture_output=True, text=True).stdout
    assert config.splitlines()[-1] == "dtoverlay=halow-morse-spi"
    assert "kernel=u-boot.bin" in config.splitlines()


def test_without_a_radio_there_is_no_overlay(build: Build) -> None:
    assert build.run("BR2_HALOW_RADIO_NONE=y\n").returncode == 0
    config = subprocess.run(["mtype", "-i", build.images / "boot.vfat", "::/config.txt"], check=True, capture_output=True, text=True).stdout
    assert "halow" not in config


def test_without_a_key_there_is_a_card_and_no_bundle_not_even_an_old_one(build: Build) -> None:
    build.bundle.write_bytes(b"of an earlier build")
    done = build.run("BR2_HALOW_RADIO_NONE=y\n")
    assert done.returncode == 0, done.stderr
    assert "RAUC_KEY names no key" in done.stdout
    assert build.card.exists()
    assert not build.bundle.exists()


def test_the_bundle_is_for_this_board_and_only_its_own_signature_is_taken(build: Build, tmp_path: Path) -> None:
    done = build.run(f'BR2_HALOW_RADIO_NONE=y\nBR2_HALOW_RAUC_KEY="{build.key}"\nBR2_HALOW_RAUC_CERT="{build.certificate}"\n')
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(["rauc", "info", f"--keyring={build.certificate}", build.bundle], check=True, capture_output=True, text=True)
    for word in ("'halow-gateway-rpi4_64'", "'1.2.3-abc'", "rootfs", "kernel", "verity"):
        assert word in shown.stdout, shown.stdout
    _, stranger = key(tmp_path, "stranger")
    assert subprocess.run(["rauc", "info", f"--keyring={stranger}", build.bundle], check=False, capture_output=True).returncode != 0


def test_a_key_without_its_certificate_stops_the_build(build: Build) -> None:
    done = build.run(f'BR2_HALOW_RADIO_NONE=y\nBR2_HALOW_RAUC_KEY="{build.key}"\n')
    assert done.returncode == 1
    assert "RAUC_CERT is not" in done.stderr


def test_data_belongs_to_root_and_has_room_to_grow(build: Build) -> None:
    assert build.run("BR2_HALOW_RADIO_NONE=y\n").returncode == 0
    shown = subprocess.run(["dumpe2fs", "-h", build.images / "data.ext4"], check=True, capture_output=True, text=True, env={"PATH": PATH})
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in shown.stdout.splitlines())}
    assert fields["Filesystem volume name"] == "data"
    assert int(fields["Reserved GDT blocks"]) > 0
    root = subprocess.run(["debugfs", "-R", "stat /", build.images / "data.ext4"], check=True, capture_output=True, text=True, env={"PATH": PATH})
    assert "User:     0   Group:     0" in root.stdout


@pytest.mark.skipif(not shutil.which("systemd-repart"), reason="systemd-repart is missing")
def test_data_grows_on_the_card_and_nothing_else_moves(build: Build) -> None:
    assert build.run("BR2_HALOW_RADIO_NONE=y\n").returncode == 0
    before = partitions(build.card)
    mbr = build.card.read_bytes()[440:512]
    os.truncate(build.card, build.card.stat().st_size + (512 << 20))
    subprocess.run(["systemd-repart", "--dry-run=no", "--no-pager", f"--definitions={ROOT}/rootfs/usr/lib/repart.d", build.card],
                   check=True, capture_output=True)
    after = partitions(build.card)
    assert after.pop("data")[1] > before.pop("data")[1] + (500 << 20)
    assert after == before
    # The boot partition's entry for the Zero 2 W's loader is still there.
    assert build.card.read_bytes()[440:512] == mbr
