"""Every example of docs/client.md runs, from top to bottom, against a server with a worker.

It is also one whole path: a folder becomes a dataset, a job, and the folder of a run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.server import trainyard_up

PAGE = Path(__file__).parents[2] / "docs/client.md"
SDK = Path(__file__).parents[2] / "sdk"
SECONDS = 900

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(SECONDS * 2)]


def test_the_examples_run_and_leave_the_folder_of_a_run(tmp_path: Path, shapes: Path) -> None:
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    clean = {name: text for name, text in os.environ.items() if name[:9] != "TRAINYARD"}

    with trainyard_up(tmp_path / "home") as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=shapes.parent,
            env={**clean, "TRAINYARD_HOME": str(server.home), "PYTHONPATH": str(SDK)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "detect" / "train"
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {"weights/best.pt", "weights/last.pt", "results.csv", "args.yaml"} <= files
    assert "results.png" in files
    assert (tmp_path / "best.pt").stat().st_size > 1_000_000
