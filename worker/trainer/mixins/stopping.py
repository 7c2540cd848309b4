"""Ends a training early: at once on SIGTERM, after the current epoch on SIGUSR1."""

from worker.trainer.run import TrainerMixin


class StopOnRequest(TrainerMixin):
    """Ends the training after the current epoch on SIGUSR1, and ensures that SIGTERM ends it.

    Overrides `hook_before_callbacks` (before super) and `hook_after_epoch` (after super). `stop` is
    not set before the end of an epoch: the batch loop would break off, and a partial epoch would
    count as a whole one (trainer.py:634). The exception that SIGTERM raises can get lost where
    Python ignores exceptions: in a destructor, or after a fork for the loader's workers. So it is
    raised again at the next event, except at `teardown`, which the exception itself leads to.
    """

    def hook_before_callbacks(self, event: str) -> None:
        """Raise SIGTERM's exception again, if it got lost."""
        if event != "teardown":
            self.run.interrupts.raise_if_leaving()
        super().hook_before_callbacks(event)

    def hook_after_epoch(self) -> None:
        """Make this epoch the last one if SIGUSR1 was received."""
        super().hook_after_epoch()
        self.stop |= self.run.interrupts.stop_requested
