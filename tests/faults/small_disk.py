"""A disk that fills quickly: a small tmpfs, mounted on the folder that a test names."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024
MOUNT = shutil.which("mount") or "mount"
UMOUNT = shutil.which("umount") or "umount"


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator["SmallDisk"]:
    """Mount a file system of `mebibytes` MiB on a folder until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={mebibytes}m,mode=0700"
    mount = [MOUNT, "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"Full disks are tested on a tmpfs, which root may mount: {done.stderr}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run([UMOUNT, "--lazy", str(folder)], check=True)


class SmallDisk:
    """A mounted disk that can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk completely."""
        with self._ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(MIB))
                except OSError:
                    return

    def make_room(self) -> None:
        self._ballast.unlink()
