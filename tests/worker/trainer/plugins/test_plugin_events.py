"""A plugin that acts on events itself, written before Trainyard's hooks had names."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.tasks import Task
from app.jobs.spec.job_spec import TrainerChoice
from tests.plugins import write_plugin
from tests.worker.trainer.customizations.in_process import Training, train_here
from tests.worker.trainer.jobs import a_job
from worker.trainer.hooks import TrainerHooks
from worker.trainer.run import TrainerMixin

EPOCHS, BATCHES = 2, 5
CODE = """
from worker.trainer.plugins import TRAINER_EVENTS, TrainerPlugin

def note(trainer, what):
    vars(trainer).setdefault("calls", []).append(what)

class Outer:
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.add_callback("on_fit_epoch_end", lambda trainer: note(trainer, "stock"))

    def run_callbacks(self, event):
        note(self, f"outer before {event}")
        super().run_callbacks(event)
        note(self, f"outer after {event}")
        if event == "on_fit_epoch_end" and not self.finalizing:
            self.after_epoch("mine")

    def after_epoch(self, whose):
        note(self, f"after_epoch {whose}")

    def never(self, *arguments):
        raise AssertionError("Nothing but the plugin calls its methods.")

    before_epoch = before_batch = after_setup = after_epoch_start = after_batch = never
    after_training = before_callbacks = after_callbacks = hook = hook_features = never

class Inner:
    def run_callbacks(self, event):
        note(self, f"inner before {event}")
        super().run_callbacks(event)
        note(self, f"inner after {event}")

def callback(event):
    return lambda trainer: note(trainer, f"callback {event}")

class Plugin(TrainerPlugin):
    mixins = (Outer, Inner)
    callbacks = {event: callback(event) for event in TRAINER_EVENTS}
"""


def noted(name: str) -> Callable[..., None]:
    def hook(self: TrainerMixin, *event: str) -> None:
        if name.startswith("hook_after_"):
            getattr(super(Noting, self), name)(*event)
        vars(self).setdefault("calls", []).append(" ".join([name, *event]))
        if name.startswith("hook_before_"):
            getattr(super(Noting, self), name)(*event)

    return hook


HOOKS = tuple(name for name in vars(TrainerHooks) if name.startswith("hook_"))
Noting = type("Noting", (TrainerMixin,), {name: noted(name) for name in HOOKS})
"""Notes the hooks outside of all other classes."""


@pytest.fixture(scope="module")
def training(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Training]:
    folder = write_plugin(tmp_path_factory.mktemp("installed") / "packages", CODE)
    job = a_job(drawn("detect"), tmp_path_factory.mktemp("job"), train={"epochs": EPOCHS})
    spec = job.spec.model_copy(update={"trainer": TrainerChoice(name="mine")})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield train_here(job.model_copy(update={"spec": spec}), watching=(Noting,))
    sys.modules.pop("mine_pkg", None)


def events() -> Iterator[str]:
    """Yield the events of a whole training."""
    yield from ("on_pretrain_routine_start", "on_pretrain_routine_end", "on_train_start")
    for _ in range(EPOCHS):
        yield "on_train_epoch_start"
        yield from ["on_train_batch_start", "on_train_batch_end"] * BATCHES
        yield from ("on_train_epoch_end", "on_model_save", "on_fit_epoch_end")
    yield from ("on_fit_epoch_end", "on_train_end", "teardown")


def calls_of_the_plugin() -> Iterator[str]:
    for place, event in enumerate(events()):
        is_last_evaluation = place == len(list(events())) - 3
        is_stock = ["stock"] if event == "on_fit_epoch_end" else []
        is_own = ["after_epoch mine"] if is_stock and not is_last_evaluation else []
        yield from (f"outer before {event}", f"inner before {event}", *is_stock)
        yield from (f"inner after {event}", f"outer after {event}", *is_own, f"callback {event}")


class TestAPluginThatOverridesRunCallbacks:
    def test_a_plugin_that_overrides_run_callbacks_is_called_at_every_event_in_its_old_order(
        self, training: Training
    ) -> None:
        calls = [call for call in training.trainer.calls if not call.startswith("hook_")]

        assert calls == list(calls_of_the_plugin())

    def test_a_plugin_that_overrides_run_callbacks_acts_between_trainyards_hooks(
        self, training: Training
    ) -> None:
        calls = training.trainer.calls
        begins = calls.index("hook_before_callbacks on_train_epoch_start")
        ends = calls.index("hook_before_callbacks on_train_batch_start")

        assert calls[begins:ends] == [
            "hook_before_callbacks on_train_epoch_start",
            "hook_before_epoch",
            "outer before on_train_epoch_start",
            "inner before on_train_epoch_start",
            "inner after on_train_epoch_start",
            "outer after on_train_epoch_start",
            "callback on_train_epoch_start",
            "hook_after_callbacks on_train_epoch_start",
            "hook_after_epoch_start",
        ]

    def test_a_plugin_that_overrides_run_callbacks_leaves_every_hook_to_trainyard(
        self, training: Training
    ) -> None:
        calls = [call.partition(" ")[0] for call in training.trainer.calls]
        of_every_event = len(list(events()))

        assert {name: calls.count(name) for name in HOOKS} == {
            "hook_before_callbacks": of_every_event,
            "hook_after_callbacks": of_every_event,
            "hook_after_setup": 1,
            "hook_before_epoch": EPOCHS,
            "hook_after_epoch_start": EPOCHS,
            "hook_before_batch": EPOCHS * BATCHES,
            "hook_after_batch": EPOCHS * BATCHES,
            "hook_after_epoch": EPOCHS,
            "hook_after_training": 1,
        }

    @pytest.mark.slow
    def test_a_plugin_that_overrides_run_callbacks_trains_and_reports_as_any_job(
        self, training: Training
    ) -> None:
        training.assert_it_trained()

        assert [event.epoch for event in training.of("epoch")] == [1, 2]
        assert [event.epoch for event in training.of("checkpoint")] == [1, 2]
        assert len(training.of("final")) == 1
