"""The named hooks: the time of each call, their spelling in classes, and the drawn loop."""

import ast
import inspect
import re
from collections.abc import Callable

import pytest
from ultralytics.engine import trainer as upstream
from ultralytics.engine.trainer import BaseTrainer

from tests.docs.loop_blocks import (
    Act,
    LoopLine,
    acts,
    class_names,
    loop_lines,
    place_of,
    points,
)
from worker.trainer import compose
from worker.trainer.hooks import AFTER, BEFORE, TrainerHooks
from worker.trainer.mixins.plugin_callbacks import PluginCallbacks
from worker.trainer.plugins.interface import RESERVED_PREFIXES, TRAINER_EVENTS
from worker.trainer.run import TrainerMixin

EVENT = re.compile(r'run_callbacks\("(\w+)"\)')
COMPOSED = (
    *compose.AROUND,
    *(mixin for mixin, _ in compose.CUSTOMIZATIONS),
    *compose.INNERMOST,
    PluginCallbacks,
)
OURS = (TrainerHooks, TrainerMixin, *COMPOSED)


def hooks_of(kind: type) -> set[str]:
    return {name for name in vars(kind) if name.startswith("hook")}


class Upstream:
    """Replaces Ultralytics' trainer."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def run_callbacks(self, event: str) -> None:
        self.called.append(event)


def noted(name: str) -> Callable[..., None]:
    def hook(self: Upstream, *event: str) -> None:
        self.called.append(" ".join([name, *event]))

    return hook


def trainer() -> TrainerHooks:
    """Return a trainer that records each call of a hook and of Ultralytics' callbacks."""
    hooks = {name: noted(name) for name in hooks_of(TrainerHooks)}
    noting = type("Noting", (TrainerHooks,), hooks)
    made: TrainerHooks = type("Training", (noting, Upstream), {})()
    return made


def calls_at(event: str, *, finalizing: bool = False) -> list[str]:
    """Return the calls for one event, without the two hooks of every event."""
    made = trainer()
    made.finalizing = finalizing
    made.run_callbacks(event)
    calls: list[str]
    first, *calls = made.called  # type: ignore[attr-defined] # of Upstream
    calls.remove(f"hook_after_callbacks {event}")
    assert first == f"hook_before_callbacks {event}"
    return calls


def hooks_at(event: str) -> tuple[str, ...]:
    return tuple(table[event] for table in (BEFORE, AFTER) if event in table)


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
        """The dispatcher may therefore leave out `hook_after_epoch` from that point on."""
        loop = inspect.getsource(BaseTrainer._do_train)

        assert EVENT.findall(inspect.getsource(BaseTrainer.final_eval)) == ["on_fit_epoch_end"]
        assert EVENT.findall(loop.partition("self.final_eval()")[2]) == ["on_train_end"]


class TestNames:
    def test_the_tables_name_each_hook_once_but_for_those_of_every_event(self) -> None:
        of_every_event = ["hook_before_callbacks", "hook_after_callbacks"]

        named = [*BEFORE.values(), *AFTER.values(), *of_every_event]

        assert sorted(named) == sorted(hooks_of(TrainerHooks))
        assert BEFORE.keys() | AFTER.keys() <= TRAINER_EVENTS
        assert all(name.startswith(RESERVED_PREFIXES) for name in named)

    @pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
    def test_a_class_overrides_only_hooks_that_are_called(self, kind: type) -> None:
        assert hooks_of(kind) - hooks_of(TrainerHooks) == set()

    @pytest.mark.parametrize("kind", OURS[1:], ids=lambda kind: kind.__name__)
    def test_no_other_class_overrides_run_callbacks(self, kind: type) -> None:
        assert "run_callbacks" not in vars(kind)

    def test_ultralytics_has_no_name_that_begins_as_a_hook(self) -> None:
        names = {name for kind in compose.TASK_TRAINERS.values() for name in dir(kind)}

        assert [name for name in names if name.startswith("hook")] == []


class TestTheDrawnLoop:
    @pytest.mark.parametrize("line", loop_lines(), ids=lambda line: f"{line.text}-{line.number}")
    def test_each_line_is_the_line_of_ultralytics_that_it_cites(self, line: LoopLine) -> None:
        source = inspect.getsource(upstream).splitlines()[line.number - 1]

        assert re.findall(r"\w+", line.text)[0] in source

    def test_every_event_has_its_place(self) -> None:
        drawn = [(line.number, line.text) for line in loop_lines() if line.text in TRAINER_EVENTS]
        lines = enumerate(inspect.getsource(upstream).splitlines(), 1)

        found = [(number, name) for number, line in lines for name in EVENT.findall(line)]

        assert sorted(drawn) == sorted(found)

    def test_beside_an_event_are_the_hooks_that_it_calls(self) -> None:
        final = inspect.getsource(BaseTrainer.final_eval)
        drawn = {line.number: line for line in loop_lines() if line.text in TRAINER_EVENTS}
        (in_final_evaluation,) = (
            number for number, line in drawn.items() if line.text in final and not line.hooks
        )

        assert drawn.pop(in_final_evaluation).text == "on_fit_epoch_end"
        assert {line.text: line.hooks for line in drawn.values()} == {
            event: hooks_at(event) for event in TRAINER_EVENTS
        }


class TestActs:
    """The acts that docs/training-loop.md lists, read from the source."""

    def test_the_classes_are_those_that_are_composed_and_in_their_order(self) -> None:
        assert class_names() == [kind.__name__ for kind in COMPOSED]

    def test_each_class_has_all_methods_of_ultralytics_that_it_overrides(self) -> None:
        names = set(dir(BaseTrainer)) | hooks_of(TrainerHooks)

        overridden = {
            (kind.__name__, name)
            for kind in COMPOSED
            for name in names & vars(kind).keys()
            if not name.startswith("__")
        }

        assert {(act.owner, act.method) for act in acts()} == overridden

    def test_every_method_has_its_place_in_the_loop(self) -> None:
        assert {act.method for act in acts()} == set(points())

    @pytest.mark.parametrize("act", acts(), ids=lambda act: f"{act.owner}-{act.method}")
    def test_every_act_is_described(self, act: Act) -> None:
        assert act.what

    @pytest.mark.parametrize(
        "act",
        [act for act in acts() if act.method.startswith("hook")],
        ids=lambda act: f"{act.owner}-{act.method}",
    )
    def test_a_hook_acts_on_its_side_of_super(self, act: Act) -> None:
        """Before an event, the outermost class acts first; after it, the innermost does."""
        holds_signals_back = (act.owner, act.method) == ("Checkpoints", "hook_after_epoch")
        assert act.place == ("around" if holds_signals_back else act.method.split("_")[1])

    def test_a_method_without_super_is_found(self) -> None:
        (method,) = ast.parse("def hook_after_epoch(self): self.stop = True").body
        assert isinstance(method, ast.FunctionDef)

        with pytest.raises(ValueError, match="hook_after_epoch"):
            place_of(method)
