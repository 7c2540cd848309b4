"""Leaving and finishing early: at once, or after the running epoch as after the last one."""

from worker.trainer.run import Composed


class StopOnRequest(Composed):
    """Turns SIGUSR1 into the end of the training after this epoch, and SIGTERM into its end anyhow.

    Overrides `run_callbacks`, around super. Not before the end of an epoch: with `stop` set the
    batch loop would break off, and a part of an epoch would count as one (trainer.py:634). What
    SIGTERM raised can be swallowed, where Python ignores exceptions: in a destructor, or after a
    fork for the loader's workers. So it is raised anew; not in `teardown`, which it leads to.
    """

    def run_callbacks(self, event: str) -> None:
        if event != "teardown":
            self.run.interrupts.raise_if_leaving()
        super().run_callbacks(event)
        if event == "on_fit_epoch_end" and not self.finalizing:
            self.stop |= self.run.interrupts.stop_requested
