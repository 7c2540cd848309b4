"""The server as a process of its own, on a free port of this machine."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.api.conftest import NO_BROKER
from tests.waiting import eventually
from tests.worlds.server import COMMAND


@dataclass(frozen=True)
class ServerProcess:
    """A server that runs: where it answers, and its process."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def a_server(home: Path, database_url: str) -> Iterator[str]:
    """Run `trainyard server` on a free port; yield its URL."""
    with a_server_process(home, database_url) as server:
        yield server.url


@contextmanager
def a_server_process(home: Path, database_url: str) -> Iterator[ServerProcess]:
    """Run `trainyard server` on a free port."""
    environment = {
        **os.environ,
        "TRAINYARD_HOME": str(home),
        "TRAINYARD_DATABASE_URL": database_url,
        "TRAINYARD_BROKER_URL": NO_BROKER,
    }
    with home.with_suffix(".log").open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, "server", "--port", "0"], env=environment, stdout=output, stderr=output
        )
    try:
        note = home / "server.json"
        eventually(note.exists, within=60, message=home.with_suffix(".log").read_text)
        yield ServerProcess(json.loads(note.read_text())["url"], process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
