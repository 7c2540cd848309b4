"""Finishing early: the running epoch is completed, then the training ends as after its last."""

from worker.trainer.run import Composed


class StopOnRequest(Composed):
    """Turns SIGUSR1 into the end of the training after this epoch.

    Overrides `run_callbacks`, after super. Not before the end of an epoch: with `stop` set the
    batch loop would break off, and a part of an epoch would count as one (trainer.py:634).
    """

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_fit_epoch_end" and not self.finalizing:
            self.stop |= self.run.interrupts.stop_requested
