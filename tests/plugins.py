"""Trainer plugins for tests: the example, installed as an operator would, and small ones."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import ROOT

EXAMPLE = ROOT / "examples" / "plugin"
GUIDE = ROOT / "docs" / "write-a-plugin.md"


def install_example(folder: Path) -> Path:
    """Install the example plugin into an empty folder, to be put on a PYTHONPATH."""
    return install_plugin(folder, EXAMPLE)


def install_plugin(folder: Path, package: Path) -> Path:
    """Install a plugin's package into an empty folder, to be put on a PYTHONPATH."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    source = folder.with_name(f"{folder.name}-source")  # keeps build files out of the checkout
    shutil.copytree(package, source)
    flags = ["--quiet", "--offline", "--no-deps", "--no-build-isolation", "--python"]
    command = [uv, "--no-config", "pip", "install", *flags, sys.executable, "--target"]
    subprocess.run([*command, folder, source], check=True)
    return folder


def write_plugin(folder: Path, code: str, *, name: str = "mine", package: str = "mine_pkg") -> Path:
    """Write a package whose `Plugin` is an entry point into a folder, as an installer does."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(code, encoding="utf-8")
    described = folder / f"{package}-2.5.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {package}\nVersion: 2.5\n", encoding="utf-8"
    )
    (described / "entry_points.txt").write_text(
        f"[trainyard.trainers]\n{name} = {package}:Plugin\n", encoding="utf-8"
    )
    return folder


def write_guides_plugin(folder: Path) -> Path:
    """Write the files that docs/write-a-plugin.md shows into an empty folder."""
    named = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for name, content in named.findall(GUIDE.read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder
