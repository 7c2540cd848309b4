import signal
import subprocess
import sys

import pytest

from worker.trainer.interrupts import Interrupts, LeaveRequested, SupervisorGone

# They run in separate processes, as they change the signal handlers of the whole process.
IN_A_PROCESS = """
import os, signal, sys
from worker.trainer.interrupts import LeaveRequested, Interrupts, SupervisorGone
interrupts = Interrupts()
interrupts.install()
"""


class TestInterrupts:
    @pytest.mark.parametrize(
        ("program", "said"),
        [
            pytest.param(
                "try: os.kill(os.getpid(), signal.SIGTERM)\nexcept LeaveRequested: print('left')",
                "left",
                id="sigterm-leaves",
            ),
            pytest.param(
                "os.kill(os.getpid(), signal.SIGUSR1)\nprint(interrupts.stop_requested)",
                "True",
                id="sigusr1-is-noted",
            ),
            pytest.param(
                "try: interrupts.leave_because_supervisor_is_gone()\n"
                "except SupervisorGone: print('gone')",
                "gone",
                id="supervisor-gone",
            ),
            pytest.param(
                "try:\n"
                "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
                "    finally: os.kill(os.getpid(), signal.SIGTERM)\n"
                "except LeaveRequested: print('once')",
                "once",
                id="a-second-sigterm-does-not-break-the-clean-up",
            ),
            pytest.param(
                "try:\n"
                "    with interrupts.deferred():\n"
                "        os.kill(os.getpid(), signal.SIGTERM)\n"
                "        print('completed', end=' ')\n"
                "except LeaveRequested: print('left')",
                "completed left",
                id="a-block-that-defers-is-completed",
            ),
        ],
    )
    def test_signals_become_what_they_mean(self, program: str, said: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS + program],
            capture_output=True,
            text=True,
            check=True,
        )

        assert done.stdout.strip() == said

    def test_an_interrupt_that_clean_up_code_replaced_is_raised_again(self) -> None:
        running, leaving = Interrupts(), Interrupts(leaving=True)
        gone = Interrupts(leaving=True, supervisor_gone=True)

        running.raise_if_leaving()
        with pytest.raises(LeaveRequested):
            leaving.raise_if_leaving()
        with pytest.raises(SupervisorGone):
            gone.raise_if_leaving()

    def test_nothing_is_taken_over_before_it_is_installed(self) -> None:
        before = signal.getsignal(signal.SIGTERM)

        Interrupts()

        assert signal.getsignal(signal.SIGTERM) is before
