"""`python -m worker`: keeps one process per slot alive."""

import argparse
import os
import signal
import sys

from app.core.errors import TrainyardError
from app.core.logging import configure_logging, get_logger
from app.core.supervision import ProcessChild, StopSignals, Supervisor, stop_together
from app.settings import Settings
from worker.slots import AUTO, Slot, parse_slots

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = get_logger(__name__)


def main() -> int:
    """Keep a process running for each slot until SIGTERM or SIGINT, then stop them all.

    A second signal is passed on to the slots, which then kill their trainers.
    """
    arguments = _parser().parse_args()
    configure_logging(level=Settings().log_level)
    try:
        slots = parse_slots(arguments.slots)
    except TrainyardError as error:
        log.error("slots.invalid", detail=error.detail)  # noqa: TRY400 -- the detail explains it
        return 2
    signals = StopSignals(STOP_SIGNALS)
    children = [_slot_process(slot, arguments.queues) for slot in slots]
    with signals.installed():
        return Supervisor(children, signals, stop=stop_together).run(lambda: None)


def _slot_process(slot: Slot, queues: str) -> ProcessChild:
    argv = [sys.executable, "-m", "worker.serve", slot.name, queues]
    return ProcessChild(f"slot-{slot.name}", argv, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Train queued jobs.")
    parser.add_argument(
        "--slots", default=AUTO, help='"cpu", GPU indices such as "0;1", or "auto" (the default)'
    )
    parser.add_argument(
        "--queues", default="default", help="comma-separated names of the job queues to serve"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
