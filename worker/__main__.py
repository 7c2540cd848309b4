"""`python -m worker`: keeps one process per slot alive."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from app.configuration import load_settings
from app.core.cage.plan import CagePlan
from app.core.exits import one_line_for_expected_errors
from app.core.files import create_privately
from app.core.logging import configure_logging
from app.core.start_checks import check_broker, check_database_patiently, require_broker
from app.core.supervision import ProcessChild, StopSignals, Supervisor, stop_together
from app.instance_marker import check_instance
from app.settings import Settings
from worker.slots import AUTO, Slot, held_devices, parse_slots

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Keep a process running for each slot until SIGTERM or SIGINT, then stop them all.

    A second signal is passed on to the slots, which then kill their trainers.
    """
    arguments = _parser().parse_args()
    create_privately()
    with one_line_for_expected_errors():
        settings = load_settings()
        configure_logging(level=settings.log_level)
        slots = parse_slots(arguments.slots)
        CagePlan.of_slot(settings, slots[0].name, slots[0].gpus).check()
        _check(settings, slots)
        check_instance(settings)  # last, because it marks a new home and a new store
    signals = StopSignals(STOP_SIGNALS)
    children = [_slot_process(slot, arguments.queues) for slot in slots]
    with signals.installed():
        return Supervisor(children, signals, stop=stop_together).run(lambda: None)


def _check(settings: Settings, slots: Sequence[Slot]) -> None:
    """Refuse what no restart of a slot would repair; the slots check it again for themselves."""
    require_broker(settings)
    check_database_patiently(settings)
    check_broker(settings)
    for slot in slots:
        with held_devices(slot, exclusive_cpu=settings.exclusive_cpu):
            pass


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
