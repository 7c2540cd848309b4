"""`python -m worker`: one process per slot, each started again with back-off when it dies."""

import argparse
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from subprocess import Popen
from types import FrameType

from app.core.errors import TrainyardError
from app.core.logging import configure_logging, get_logger
from app.core.processes import signal_group, spawn
from app.settings import Settings
from worker.slots import AUTO, Slot, parse_slots

POLL_SECONDS = 0.1
STOP_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
HEALTHY_SECONDS = 60.0

log = get_logger(__name__)


@dataclass
class SlotProcess:
    """The process of one slot. One that dies soon after its start is started later and later."""

    slot: Slot
    queues: str
    process: Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_seconds: float = field(default=FIRST_PAUSE_SECONDS)

    def keep_alive(self) -> None:
        """Start the process where it is due; call this again and again."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self._plan_restart(self.process.returncode, now)
        if self.process is None and now >= self.start_at:
            argv = [sys.executable, "-m", "worker.serve", self.slot.name, self.queues]
            self.process, self.started_at = spawn(argv), now

    def ask_to_stop(self) -> None:
        """Let the process give its job back and end; asked again, it does so without a grace."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and its session by force."""
        if self.process is not None:
            log.error("slot.killed", slot=self.slot.name)
            signal_group(self.process, signal.SIGKILL)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def _plan_restart(self, exit_code: int, now: float) -> None:
        if now - self.started_at > HEALTHY_SECONDS:
            self.pause_seconds = FIRST_PAUSE_SECONDS
        log.error(
            "slot.died", slot=self.slot.name, exit_code=exit_code, restart_in=self.pause_seconds
        )
        self.process, self.start_at = None, now + self.pause_seconds
        self.pause_seconds = min(2 * self.pause_seconds, LONGEST_PAUSE_SECONDS)


def main() -> int:
    """Keep all slots served until SIGTERM or SIGINT, then stop them all.

    A second signal is handed on, and makes them hurry.
    """
    arguments = _parser().parse_args()
    configure_logging(level=Settings().log_level)
    try:
        slots = parse_slots(arguments.slots)
    except TrainyardError as error:
        log.error("slots.not_understood", detail=error.detail)  # noqa: TRY400 -- it says it all
        return 2
    stopping, hurrying = threading.Event(), threading.Event()
    _stop_on_signals(stopping, hurrying)
    processes = [SlotProcess(slot, arguments.queues) for slot in slots]
    while not stopping.wait(POLL_SECONDS):
        for each in processes:
            each.keep_alive()
    _stop(processes, hurrying)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Train queued jobs.")
    parser.add_argument(
        "--slots", default=AUTO, help='"cpu", GPU indices such as "0;1", or "auto" (the default)'
    )
    parser.add_argument(
        "--queues", default="default", help="names of the job queues to serve, with commas"
    )
    return parser


def _stop_on_signals(stopping: threading.Event, hurrying: threading.Event) -> None:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        (hurrying if stopping.is_set() else stopping).set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)


def _stop(processes: list[SlotProcess], hurrying: threading.Event) -> None:
    for each in processes:
        each.ask_to_stop()
    deadline = time.monotonic() + STOP_SECONDS
    has_hurried, pause = False, threading.Event()
    while living := [each for each in processes if each.is_alive]:
        if time.monotonic() > deadline:
            for each in living:
                each.kill()
        elif hurrying.is_set() and not has_hurried:
            has_hurried = True
            for each in living:
                each.ask_to_stop()
        pause.wait(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
