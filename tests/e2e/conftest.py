"""One running Trainyard for the tests that do not change it, and plain Ultralytics beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.server import Server, trainyard_up
from worker.trainer.environment import trainer_environment

PLAIN = Path(__file__).with_name("plain.py")
PLAIN_SECONDS = 240

Plain = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server whose trainers write a training state after every epoch, resumed or not."""
    environment = {"TRAINYARD_STATE_EVERY": "1"}
    with trainyard_up(tmp_path_factory.mktemp("up") / "home", environment) as server:
        yield server


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    """Return a function that runs a verb of plain.py in a new offline process with new settings."""
    folder = tmp_path / "plain"
    folder.mkdir()

    def run(verb: str, request: dict[str, Any]) -> dict[str, Any]:
        (folder / "request.json").write_text(json.dumps(request))
        done = subprocess.run(
            [sys.executable, "-I", PLAIN, verb, folder / "request.json"],
            cwd=folder,
            env=trainer_environment(folder, gpu=None, base=os.environ),
            capture_output=True,
            text=True,
            timeout=PLAIN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    return run
