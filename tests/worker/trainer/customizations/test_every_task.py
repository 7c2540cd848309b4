"""All five together on each task: uninterrupted, or killed before or after unfreezing."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from app.core.tasks import Task
from app.jobs.spec.metric_table import FITNESS, metrics_of
from tests.worker.trainer.customizations.combinations import (
    FIVE,
    FROZEN_EPOCHS,
    Watched,
    a_customized_job,
    fits,
)
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.customizations.proving import verdict_of
from tests.worker.trainer.jobs import ARCHITECTURES

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EPOCHS = 4
TASKS: tuple[Task, ...] = get_args(Task)
BEFORE_AND_AFTER = (FROZEN_EPOCHS - 1, FROZEN_EPOCHS + 1)


@pytest.fixture(scope="module", params=TASKS)
def whole(
    request: pytest.FixtureRequest,
    drawn: Callable[[Task], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Training:
    """Train with every customization that the task does not refuse."""
    task: Task = request.param
    directory = tmp_path_factory.mktemp(task)
    job = a_customized_job(drawn(task), directory, fits(task), task=task, epochs=EPOCHS)
    return train_here(job, watching=(Watched,))


class TestEveryTask:
    def test_every_effect_shows(self, whole: Training) -> None:
        whole.assert_it_trained()
        for each in FIVE:
            if each.name in fits(whole.job.task):
                each.shows(whole)

    def test_columns_of_every_task_are_all_that_may_choose_a_checkpoint(
        self, whole: Training
    ) -> None:
        task = whole.job.task

        columns = {name for name in whole.rows[0] if name.startswith(("metrics/", "val/"))}

        assert columns == metrics_of(task, ARCHITECTURES[task]).keys() - {FITNESS}

    def test_the_best_pt_of_every_customized_task_loads_safely_without_trainyard(
        self, whole: Training, tmp_path: Path
    ) -> None:
        verdict = verdict_of([whole.trainer.best], tmp_path)

        assert verdict.failure is None
        assert verdict.checks["best.pt"].task == whole.job.task

    @pytest.mark.parametrize("epoch", BEFORE_AND_AFTER)
    def test_every_effect_persists_after_a_kill(
        self, whole: Training, tmp_path: Path, epoch: int
    ) -> None:
        resumed = train_here(next_attempt(whole, tmp_path, epoch=epoch), watching=(Watched,))

        resumed.assert_it_trained()
        assert [event.epoch for event in resumed.of("epoch")] == list(range(epoch + 1, EPOCHS + 1))
        assert [row["epoch"] for row in resumed.rows] == [row["epoch"] for row in whole.rows]
        for each in FIVE:
            if each.name in fits(whole.job.task):
                each.shows(resumed)
