"""Install albumentations beside this environment, and run with_albumentations.py there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

HERE = Path(__file__).parent
PINNED = HERE / "albumentations.txt"
TESTS = HERE / "with_albumentations.py"
INSTALL_SECONDS, TEST_SECONDS = 300, 900


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_SECONDS + TEST_SECONDS)
def test_a_resume_is_exact_where_albumentations_is_installed(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    flags = ["--quiet", "--no-deps", "--require-hashes", "--python", sys.executable]
    beside = str(tmp_path / "beside")
    command = [uv, "--no-config", "pip", "install", *flags, "--target", beside]
    subprocess.run([*command, "-r", PINNED], check=True, timeout=INSTALL_SECONDS)
    paths = {"PYTHONPATH": beside, "NO_ALBUMENTATIONS_UPDATE": "1"}

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS],
        cwd=ROOT,
        env=os.environ | paths,
        capture_output=True,
        text=True,
        timeout=TEST_SECONDS,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    assert "4 passed" in ran.stdout
