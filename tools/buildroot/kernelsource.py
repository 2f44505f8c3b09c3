"""A kernel source's Kconfig, asked what becomes of our fragments. Only configured, never compiled."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import fragments as options


def version(source: Path) -> str:
    """Return the version that the kernel's Makefile names."""
    text = (source / "Makefile").read_text()
    words = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d*)$", text, re.MULTILINE))
    return ".".join(words.values())


def configure(source: Path, base: str | Path, files: list[Path], output: Path) -> dict[str, str]:
    """Return the configuration that `base` (a defconfig's name, or a file) and `files` lead to. Raises RuntimeError."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    environment = {**os.environ, "ARCH": "arm64", "LC_ALL": "C"}
    # The options that depend on the compiler are those of a compiler for arm64 where there is one.
    if shutil.which("aarch64-linux-gnu-gcc"):
        environment["CROSS_COMPILE"] = "aarch64-linux-gnu-"

    def run(*words: object) -> None:
        done = subprocess.run(
            [str(word) for word in words], check=False, capture_output=True, text=True, env=environment, cwd=output
        )
        if done.returncode:
            raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-400:]}")

    make = ("make", "-s", "-C", source, f"O={output}")
    if isinstance(base, Path):
        shutil.copy(base, output / ".config")
    else:
        run(*make, base)
    run(source / "scripts/kconfig/merge_config.sh", "-m", "-O", output, output / ".config", *files)
    run(*make, "olddefconfig")
    return options.read_options((output / ".config").read_text())


def base_of(settings: dict[str, str], source: Path, buildroot: Path) -> tuple[str | Path, str]:
    """Return what a board's kernel configuration begins with, and a remark where this kernel has another beginning."""
    if settings.get("BR2_LINUX_KERNEL_USE_CUSTOM_CONFIG") == "y":
        return buildroot / settings["BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE"], ""
    name = settings.get("BR2_LINUX_KERNEL_DEFCONFIG", "") + "_defconfig"
    if (source / "arch/arm64/configs" / name).exists():
        return name, ""
    return "defconfig", f"; it has no {name}, its own defconfig instead"
