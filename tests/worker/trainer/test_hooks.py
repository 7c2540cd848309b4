"""The named hooks: when each is called, and that no class of ours misses one by its name."""

import inspect
import re
from collections.abc import Callable

import pytest
from ultralytics.engine.trainer import BaseTrainer

from worker.trainer import compose
from worker.trainer.hooks import AFTER, BEFORE, TrainerHooks
from worker.trainer.mixins.plugin_callbacks import PluginCallbacks
from worker.trainer.plugins.interface import TRAINER_EVENTS

EVENT = re.compile(r'run_callbacks\("(\w+)"\)')
OURS = (
    TrainerHooks,
    compose.Composed,
    *compose.AROUND,
    *(mixin for mixin, _ in compose.CUSTOMIZATIONS),
    *compose.INNERMOST,
    PluginCallbacks,
)


def hooks_of(kind: type) -> set[str]:
    return {name for name in vars(kind) if name.startswith("hook")}


class Upstream:
    """Stands in for Ultralytics' trainer."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def run_callbacks(self, event: str) -> None:
        self.called.append(event)


def noted(name: str) -> Callable[..., None]:
    def hook(self: Upstream, *event: str) -> None:
        self.called.append(" ".join([name, *event]))

    return hook


def trainer() -> TrainerHooks:
    """A trainer that notes each call of a hook, and of Ultralytics' callbacks."""
    hooks = {name: noted(name) for name in hooks_of(TrainerHooks)}
    noting = type("Noting", (TrainerHooks,), hooks)
    made: TrainerHooks = type("Training", (noting, Upstream), {})()
    return made


def calls_at(event: str, *, finalizing: bool = False) -> list[str]:
    """What one event calls, without what every event calls."""
    made = trainer()
    made.finalizing = finalizing
    made.run_callbacks(event)
    first, *calls = made.called  # type: ignore[attr-defined] # of Upstream
    calls.remove(f"hook_after_callbacks {event}")
    assert first == f"hook_before_callbacks {event}"
    return calls


class TestDispatch:
    @pytest.mark.parametrize(
        ("event", "calls"),
        [
            ("on_train_start", ["on_train_start", "hook_after_setup"]),
            (
                "on_train_epoch_start",
                ["hook_before_epoch", "on_train_epoch_start", "hook_after_epoch_start"],
            ),
            ("on_train_batch_start", ["hook_before_batch", "on_train_batch_start"]),
            ("on_train_batch_end", ["on_train_batch_end", "hook_after_batch"]),
            ("on_fit_epoch_end", ["on_fit_epoch_end", "hook_after_epoch"]),
            ("on_train_end", ["on_train_end", "hook_after_training"]),
        ],
    )
    def test_an_event_calls_its_hooks_around_ultralytics_callbacks(
        self, event: str, calls: list[str]
    ) -> None:
        assert calls_at(event) == calls

    @pytest.mark.parametrize(
        "event", [*sorted(TRAINER_EVENTS - BEFORE.keys() - AFTER.keys()), "of_a_plugin"]
    )
    def test_an_event_without_hooks_of_its_own_calls_those_of_every_event(self, event: str) -> None:
        assert calls_at(event) == [event]

    def test_callbacks_of_a_plugin_come_after_ultralytics_and_before_the_events_own_hook(
        self,
    ) -> None:
        made = trainer()

        made.run_callbacks("on_train_epoch_start")

        assert made.called == [  # type: ignore[attr-defined] # of Upstream
            "hook_before_callbacks on_train_epoch_start",
            "hook_before_epoch",
            "on_train_epoch_start",
            "hook_after_callbacks on_train_epoch_start",
            "hook_after_epoch_start",
        ]

    @pytest.mark.parametrize("event", sorted(AFTER))
    def test_while_finalizing_only_the_end_of_the_training_has_a_hook_after_it(
        self, event: str
    ) -> None:
        calls = calls_at(event, finalizing=True)

        assert (calls[-1] == "hook_after_training") == (event == "on_train_end")
        assert calls[-1] in {event, "hook_after_training"}

    def test_ultralytics_ends_no_epoch_after_the_final_evaluation_began(self) -> None:
        """So the dispatcher may leave out `hook_after_epoch` from there on."""
        loop = inspect.getsource(BaseTrainer._do_train)

        assert EVENT.findall(inspect.getsource(BaseTrainer.final_eval)) == ["on_fit_epoch_end"]
        assert EVENT.findall(loop.partition("self.final_eval()")[2]) == ["on_train_end"]


class TestNames:
    def test_the_tables_name_each_hook_once_but_for_those_of_every_event(self) -> None:
        of_every_event = ["hook_before_callbacks", "hook_after_callbacks"]

        named = [*BEFORE.values(), *AFTER.values(), *of_every_event]

        assert sorted(named) == sorted(hooks_of(TrainerHooks))
        assert BEFORE.keys() | AFTER.keys() <= TRAINER_EVENTS

    @pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
    def test_a_class_overrides_only_hooks_that_are_called(self, kind: type) -> None:
        assert hooks_of(kind) - hooks_of(TrainerHooks) == set()

    @pytest.mark.parametrize("kind", OURS[1:], ids=lambda kind: kind.__name__)
    def test_no_other_class_overrides_run_callbacks(self, kind: type) -> None:
        assert "run_callbacks" not in vars(kind)

    def test_ultralytics_has_no_name_that_begins_as_a_hook(self) -> None:
        names = {name for kind in compose.TASK_TRAINERS.values() for name in dir(kind)}

        assert [name for name in names if name.startswith("hook")] == []
