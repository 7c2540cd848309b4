import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.models.yolo.model import YOLO

from app.core.tasks import Task
from tests.worker.trainer.jobs import ARCHITECTURES, a_job, weights
from worker.trainer.compose import (
    AROUND,
    CUSTOMIZATIONS,
    INNERMOST,
    TASK_TRAINERS,
    compose_trainer,
    overrides,
)
from worker.trainer.hooks import TrainerHooks
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.plugin_callbacks import PluginCallbacks
from worker.trainer.protocol import Event
from worker.trainer.run import TrainingRun

TASKS: tuple[Task, ...] = get_args(Task)
ALWAYS = (*AROUND, *INNERMOST)
EVER = (*ALWAYS, *(mixin for mixin, _ in CUSTOMIZATIONS))
PRIVATE = re.compile(r"\b(?:self\.|def )(_[a-z]\w*)")


def declared_hooks() -> set[str]:
    return {name for name in vars(TrainerHooks) if name.startswith("hook_")}


class Silence:
    def emit(self, event: Event) -> None:
        """Discards all events."""


class TestComposeTrainer:
    @pytest.mark.parametrize("task", TASKS)
    def test_a_composed_trainer_has_our_mixins_above_the_trainer_that_yolo_uses(
        self, task: Task, tmp_path: Path
    ) -> None:
        run = TrainingRun(a_job(tmp_path, tmp_path, task=task), Silence(), Interrupts())
        stock = YOLO(ARCHITECTURES[task]).task_map[task]["trainer"]

        composed = compose_trainer(run)

        assert composed.__mro__[1 : 1 + len(ALWAYS)] == ALWAYS
        assert TASK_TRAINERS[task] is stock
        assert issubclass(composed, stock)

    @pytest.mark.parametrize("task", TASKS)
    def test_a_composed_trainer_has_a_class_name_that_keeps_integrations_out(
        self, task: Task, tmp_path: Path
    ) -> None:
        run = TrainingRun(a_job(tmp_path, tmp_path, task=task), Silence(), Interrupts())

        assert "Trainer" not in compose_trainer(run).__name__

    @pytest.mark.parametrize("mixin", [*EVER, PluginCallbacks])
    def test_mixins_override_only_what_ultralytics_has(self, mixin: type) -> None:
        ours = {"finalizing", "run"} | declared_hooks()
        methods = [name for name in vars(mixin) if callable(getattr(mixin, name))]
        own_helpers = {
            name for name in methods if name.startswith("_") and not name.startswith("__")
        }

        public = {name for name in methods if not name.startswith("_")} - ours

        assert {name for name in public if not hasattr(BaseTrainer, name)} == set()
        assert "run_callbacks" not in public
        assert {"_do_train", "_build_train_pipeline", "_handle_nan_recovery"} & own_helpers <= set(
            dir(BaseTrainer)
        )

    @pytest.mark.parametrize("mixin", EVER)
    def test_private_attributes_of_mixins_have_names_that_no_other_class_can_take(
        self, mixin: type
    ) -> None:
        """One object has all mixins and a plugin's classes, which would share `self._steps`."""
        used = set(PRIVATE.findall(inspect.getsource(mixin)))

        assert used - set(PRIVATE.findall(inspect.getsource(BaseTrainer))) == set()


class TestOverrides:
    def test_overrides_of_a_fresh_run_are_the_arguments_and_where_it_happens(
        self, tmp_path: Path
    ) -> None:
        job = a_job(tmp_path, tmp_path)

        arguments = overrides(job)

        asked = job.spec.train.to_ultralytics()
        assert asked.items() <= arguments.items()
        assert {name: arguments[name] for name in arguments if name not in asked} == {
            "data": str(tmp_path / "data.yaml"),
            "device": "cpu",
            "exist_ok": True,
            "model": "yolo26n.yaml",
            "save": True,
            "save_dir": str(tmp_path / "run"),
            "task": "detect",
            "val": True,
        }

    def test_overrides_of_classify_name_the_folder_of_the_images(self, tmp_path: Path) -> None:
        assert overrides(a_job(tmp_path, tmp_path, task="classify"))["data"] == str(tmp_path)

    def test_overrides_of_weights_name_their_file(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path, model=weights(tmp_path / "w.pt"))

        assert overrides(job)["model"] == str(tmp_path / "w.pt")

    def test_overrides_of_a_resume_leave_the_rest_to_the_checkpoint(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path, resume_from=tmp_path / "last.pt")

        arguments = overrides(job)

        assert arguments.keys() == {"batch", "data", "device", "resume", "save_dir", "workers"}
        assert arguments["batch"] == job.spec.train.batch
        assert arguments["resume"] == str(tmp_path / "last.pt")
