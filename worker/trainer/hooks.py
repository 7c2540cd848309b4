"""The named hooks through which our classes act in Ultralytics' training loop.

This is the loop of Ultralytics 8.4.190, `engine/trainer.py`, on one device. A number is a line of
that file; an event is a call of `run_callbacks`, followed by the hooks that it calls:

    __init__                                    # 133
        check_resume                            # 142
        on_pretrain_routine_start               # 197
        get_dataset                             # 202
    train                                       # 236
        _do_train                               # 262
            _setup_train                        # 472
                setup_model                     # 343
                    get_model                   # 906
                _build_train_pipeline           # 453
                    get_dataloader              # 304  of the training images
                        build_dataset           # 958  in the trainer of the task
                    get_dataloader              # 315  of the validation images
                    build_optimizer             # 327
                get_validator                   # 454
                set_class_weights               # 455
                plot_training_labels            # 461  if plots are on
                resume_training                 # 464  goes to final_eval if no epoch is left
                on_pretrain_routine_end         # 466
            on_train_start                      # 481  hook_after_setup
            while True                          # 496
                on_train_epoch_start            # 498  hook_before_epoch, hook_after_epoch_start
                scheduler                       # 501
                _model_train                    # 503
                for i, batch                    # 518
                    on_train_batch_start        # 519  hook_before_batch
                    preprocess_batch            # 543
                    loss                        # 549  forward
                    backward                    # 565
                    optimizer_step              # 603  every `accumulate` batches
                    plot_training_samples       # 630  if plots are on, of a few batches
                    on_train_batch_end          # 632  hook_after_batch
                on_train_epoch_end              # 647
                validate                        # 655
                _handle_nan_recovery            # 658  repeats the epoch
                save_metrics                    # 665
                stop                            # 666  after the last epoch, or without progress
                save_model                      # 671
                    on_model_save               # 672
                on_fit_epoch_end                # 685  hook_after_epoch
                stop                            # 694  leaves the loop
            final_eval                          # 701
                on_fit_epoch_end                # 1021 once more, for best.pt: no epoch
            plot_metrics                        # 704  if plots are on
            on_train_end                        # 705  hook_after_training
        teardown                                # 266  always, also after an error

Each event calls, in this order:

    hook_before_callbacks
    the event's hook of `BEFORE`
    Ultralytics' own callbacks, inside a plugin's `run_callbacks`
    hook_after_callbacks, which calls the plugin's callbacks
    the event's hook of `AFTER`

docs/training-loop.md lists the classes that act at each point. `worker.trainer.plugins.interface`
reserves the names of hooks, so that no plugin uses one by accident.
"""

from collections.abc import Mapping
from typing import Final

from worker.trainer.upstream import TaskTrainer

BEFORE: Final[Mapping[str, str]] = {
    "on_train_epoch_start": "hook_before_epoch",
    "on_train_batch_start": "hook_before_batch",
}
"""The hook that an event calls before Ultralytics' callbacks."""

AFTER: Final[Mapping[str, str]] = {
    "on_train_start": "hook_after_setup",
    "on_train_epoch_start": "hook_after_epoch_start",
    "on_train_batch_end": "hook_after_batch",
    "on_fit_epoch_end": "hook_after_epoch",
    "on_train_end": "hook_after_training",
}
"""The hook that an event calls after Ultralytics' callbacks and the plugin's."""


class TrainerHooks(TaskTrainer):
    """Calls the hooks. No other class of ours overrides `run_callbacks`.

    A class that overrides a `hook_after_...` calls `super()` first; one that overrides a
    `hook_before_...` calls `super()` last. `finalizing`: whether the final evaluation has begun.
    """

    finalizing: bool = False

    def run_callbacks(self, event: str) -> None:
        self.hook_before_callbacks(event)
        if event in BEFORE:
            getattr(self, BEFORE[event])()
        super().run_callbacks(event)
        self.hook_after_callbacks(event)
        # The final evaluation runs `on_fit_epoch_end` again (trainer.py:1021), without an epoch.
        if event in AFTER and (event == "on_train_end" or not self.finalizing):
            getattr(self, AFTER[event])()

    def hook_before_callbacks(self, event: str) -> None:
        """Act before everything else at any event, also at the events of a plugin."""

    def hook_after_callbacks(self, event: str) -> None:
        """Act at any event after Ultralytics' callbacks and before the event's own hook."""

    def hook_after_setup(self) -> None:
        """Act when model, loaders and optimizer are complete; the first epoch is next."""

    def hook_before_epoch(self) -> None:
        """Act at the start of an epoch, also of a repeated one, before all of its callbacks."""

    def hook_after_epoch_start(self) -> None:
        """Act at the start of an epoch, after all of its callbacks."""

    def hook_before_batch(self) -> None:
        """Act before a batch is processed."""

    def hook_after_batch(self) -> None:
        """Act after a batch, and after the optimizer's step if one was due."""

    def hook_after_epoch(self) -> None:
        """Act when an epoch is in results.csv and last.pt and will not be repeated."""

    def hook_after_training(self) -> None:
        """Act after the final evaluation, at the end of a successful training."""
