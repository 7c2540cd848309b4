"""Every spec that is accepted can be composed and set up, so it cannot fail late on a GPU."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from tests.jobs.customizing import customizations
from tests.worker.trainer.customizations.in_process import Heard, set_up_here
from tests.worker.trainer.drawn_datasets import CLASSES
from tests.worker.trainer.jobs import ARCHITECTURES, a_job
from worker.trainer.compose import compose_trainer
from worker.trainer.interrupts import Interrupts
from worker.trainer.run import TrainingRun

TASKS: tuple[Task, ...] = get_args(Task)
SETTINGS = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def tasks_and_customizations(*tasks: Task) -> st.SearchStrategy[tuple[Task, dict[str, Any]]]:
    return st.sampled_from(tasks).flatmap(
        lambda task: st.tuples(st.just(task), customizations(task, CLASSES, ARCHITECTURES[task]))
    )


class TestAcceptedSpecs:
    @given(drawn_spec=tasks_and_customizations(*TASKS))
    @SETTINGS
    def test_every_accepted_customization_composes(
        self, drawn_spec: tuple[Task, dict[str, Any]], tmp_path: Path
    ) -> None:
        task, customize = drawn_spec
        job = a_job(tmp_path, tmp_path, task=task, customize=customize)

        composed = compose_trainer(TrainingRun(job, Heard(), Interrupts()))

        assert "Trainer" not in composed.__name__

    @pytest.mark.integration
    @given(drawn_spec=tasks_and_customizations(*TASKS))
    @settings(SETTINGS, max_examples=12)
    @pytest.mark.slow
    def test_every_accepted_customization_builds_its_model_and_optimizer(
        self, drawn_spec: tuple[Task, dict[str, Any]], drawn: Callable[[Task], Path]
    ) -> None:
        task, customize = drawn_spec
        directory = Path(tempfile.mkdtemp(dir=drawn(task).parent))

        trainer = set_up_here(a_job(drawn(task), directory, task=task, customize=customize))

        assert any(tensor.requires_grad for tensor in trainer.model.parameters())
        assert trainer.optimizer.param_groups
