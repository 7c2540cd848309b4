"""`--up`: a server on this machine that stays when the command ends."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from trainyard.client import Client
from trainyard.command.tables import tables
from trainyard.command.text import say
from trainyard.configuration import find_server, instance_home
from trainyard.errors import ConfigurationError, TrainyardError

SECONDS: Final = 180
PAUSE: Final = 0.5
LOG: Final = Path("run") / "up.log"
"""Below the home, in a folder of the server's own: it refuses a home of other things."""


def start() -> None:
    """Start `trainyard up` unless a server is known, and wait until it is ready.

    Raises:
        TrainyardError: the server's distribution is not installed, or the server does not start.
    """
    try:
        find_server()
    except ConfigurationError:
        pass
    else:
        return
    if not any("up" in table for table in tables().values()):
        raise TrainyardError(
            "--up needs the server's distribution trainyard-server beside the client, see"
            " docs/install.md of the repository."
        )
    log = instance_home() / LOG
    for folder in (log.parent.parent, log.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    say(f"Starting a server on this machine, which stays; its log is {log} …")
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainyard.command", "up", "--no-browser"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    _wait(process, log)
    say(f"It is ready. Stop it with: kill {process.pid}")


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with Client(patience_seconds=PAUSE) as client:
                client.request("GET", "/livez")
        except TrainyardError:
            time.sleep(PAUSE)  # noqa: TID251 -- another process writes the file that is waited for
        else:
            return
    raise TrainyardError(f"The server did not start; {log} says why.")
