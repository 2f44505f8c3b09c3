"""Debian's packages for another suite or architecture, fetched by apt into a folder of their own, only unpacked.

No root is needed and the machine's own apt state is not touched. Maintainer scripts do not run: what they would have
done that an image needs is in `root.py`, and is the same for every architecture, without emulating any.
"""

import os
import re
import subprocess
from pathlib import Path

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# base-files first: it makes the links /bin, /lib and /sbin that every other package is unpacked through.
PACKAGES = """
    base-files base-passwd busybox-static coreutils dash findutils grep libc-bin login mount passwd procps sed
    util-linux systemd systemd-sysv systemd-resolved systemd-timesyncd systemd-repart udev dbus dbus-daemon
    dbus-system-bus-common kmod e2fsprogs iproute2 nftables netbase rauc rauc-service libubootenv-tool hostapd
    wpasupplicant iw wireless-regdb
""".split()  # noqa: SIM905 - a list to read and to add to


class ImageError(Exception):
    """What stops the build, in one line that says what to do."""


def mirror() -> str:
    """Return where this machine gets Debian from: DEBIAN_MIRROR, or what its own apt sources name."""
    if named := os.environ.get("DEBIAN_MIRROR"):
        return named
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(path.read_text() for path in sources if path.is_file() and path.suffix in (".list", ".sources"))
    for found in re.findall(r"^(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(\S+/debian)/?(?:\s|$)", text, re.MULTILINE):
        return str(found)
    raise ImageError("no Debian mirror in this machine's apt sources; name one: DEBIAN_MIRROR=http://HOST/debian")


class Apt:
    """An apt of its own in `folder`, for one architecture."""

    def __init__(self, folder: Path, architecture: str) -> None:
        """Prepare the folder; nothing is fetched yet."""
        if not KEYRING.exists():
            raise ImageError(f"{KEYRING} is missing; install the package debian-archive-keyring")
        self.archives = folder / "archives"
        for part in ("lists/partial", "archives/partial", "none/partial", "sources"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n")
        self._options = [
            f"-oAPT::Architecture={architecture}",
            f"-oAPT::Architectures={architecture}",
            "-oAPT::Install-Recommends=false",
            f"-oDir::State::lists={folder / 'lists'}",
            f"-oDir::State::status={folder / 'status'}",
            f"-oDir::Etc::sourcelist={folder / 'sources.list'}",
            f"-oDir::Etc::sourceparts={folder / 'sources'}",
            f"-oDir::Cache={folder}",
            f"-oDir::Cache::archives={self.archives}",
            "-oAPT::Sandbox::User=",
            "-oDebug::NoLocking=1",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=3",
            "-qq",
        ]

    def _run(self, *words: str) -> str:
        done = subprocess.run(["apt-get", *self._options, *words], check=False, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise ImageError(f"apt-get {words[0]}: {said[-1]}")
        return done.stdout

    def fetch(self, packages: list[str]) -> list[Path]:
        """Download the packages and all that they depend on; return the files, base-files first."""
        self._run("update")
        # Asked with an empty cache, because apt names only what it has yet to fetch.
        none = f"-oDir::Cache::archives={self.archives.with_name('none')}"
        named = self._run("install", "--print-uris", "--yes", none, *packages)
        wanted = re.findall(r"^'[^']+' (\S+) ", named, re.MULTILINE)
        self._run("install", "--download-only", "--yes", *packages)
        files = [self.archives / name for name in wanted]
        return sorted(files, key=lambda path: (not path.name.startswith("base-files_"), path.name))


def unpack(files: list[Path], root: Path) -> None:
    """Unpack package files into a folder, through whatever links are there already."""
    root.mkdir(parents=True)
    for file in files:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as archive:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", *_LEFT_OUT, "-C", root],
                check=True,
                stdin=archive.stdout,
            )
        if archive.returncode:
            raise ImageError(f"{file.name} cannot be unpacked; delete it and start again")


_LEFT_OUT = [
    f"--exclude=./usr/share/{name}/*" for name in ("man", "locale", "info", "bash-completion", "zsh", "lintian", "bug")
] + [
    "--exclude=./usr/share/doc/*/*[!t]",
    "--exclude=./usr/share/zoneinfo/*/*",
]
