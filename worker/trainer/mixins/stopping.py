"""Leaving and finishing early: at once, or after the running epoch as after the last one."""

from worker.trainer.run import Composed


class StopOnRequest(Composed):
    """Turns SIGUSR1 into the end of the training after this epoch, and SIGTERM into its end anyhow.

    Overrides `hook_before_callbacks` (before super) and `hook_after_epoch` (after super). `stop` is
    not set before the end of an epoch: the batch loop would break off, and a part of an epoch would
    count as one (trainer.py:634). What SIGTERM raised can be swallowed, where Python ignores
    exceptions: in a destructor, or after a fork for the loader's workers. So it is raised again at
    the next event, but for `teardown`, which it leads to.
    """

    def hook_before_callbacks(self, event: str) -> None:
        """Raise again what SIGTERM raised, if it was swallowed."""
        if event != "teardown":
            self.run.interrupts.raise_if_leaving()
        super().hook_before_callbacks(event)

    def hook_after_epoch(self) -> None:
        """Make this epoch the last one if SIGUSR1 was received."""
        super().hook_after_epoch()
        self.stop |= self.run.interrupts.stop_requested
