"""Trainings that continue from a middle state of another one, with other total epochs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.tasks import Task
from app.jobs.plan.schedule import schedule_of
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from tests.worker.trainer.resume.exactness import Traced, differences, first_difference
from tests.worker.trainer.resume.extending import SeeingMosaic, extended
from tests.worker.trainer.resume.resume_cases import TwoLoaderWorkers
from worker.trainer.protocol import JobFile

IMAGES, JOINT, PLANNED = 18, 2, 4
CLOSED: dict[str, object] = {"epochs": PLANNED, "nbs": 8, "close_mosaic": 3}
"""Mosaic is closed from the second epoch on, and every other batch makes a step."""


def changed(job: JobFile, **train: object) -> JobFile:
    """Return a job with other train arguments."""
    spec = job.spec.model_copy(update={"train": job.spec.train.model_copy(update=train)})
    return job.model_copy(update={"spec": spec})


def mode_of(training: Training) -> tuple[str, int, str | None]:
    (said,) = training.of("resumed")
    return (said.mode, said.epoch, said.reason)


def planned_rates(job: JobFile, *, first_epoch: int) -> list[float]:
    """Return the planned rate of each trained epoch, for groups without warm-up."""
    train: Any = job.spec.train
    course = schedule_of(train, images=IMAGES, first_epoch=first_epoch)
    assert course is not None
    return [
        course.recorded_rate(epoch, initial=train.lr0, warmup_start=0.0)
        for epoch in range(first_epoch, train.epochs + 1)
    ]


@pytest.fixture(scope="module")
def parent(drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Train four epochs, with a training state after each."""
    directory = tmp_path_factory.mktemp("parent")
    return train_here(a_job(drawn("detect"), directory, train=CLOSED, state_every=1))


@pytest.fixture(scope="module")
def longer(parent: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Train to six epochs, from the parent's second epoch on."""
    job = extended(parent, tmp_path_factory.mktemp("longer"), PLANNED + 2, joint=JOINT)
    return train_here(job, watching=(Traced, SeeingMosaic))


class TestFromAStateBeforeTheLastEpoch:
    @pytest.mark.slow
    def test_an_extension_from_an_older_state_trains_epochs_again_by_the_planned_rates(
        self, parent: Training, longer: Training
    ) -> None:
        epochs = [event.epoch for event in longer.of("epoch")]
        rates = [event.lr["lr/rest/weight"] for event in longer.of("epoch")]

        assert mode_of(longer) == ("exact", JOINT, None)
        assert epochs == [3, 4, 5, 6]
        assert longer.rows[:JOINT] == parent.rows[:JOINT]
        assert longer.rows[JOINT] != parent.rows[JOINT]
        assert rates == pytest.approx(planned_rates(longer.job, first_epoch=3), rel=1e-5)
        assert rates[0] > parent.of("epoch")[JOINT].lr["lr/rest/weight"]

    @pytest.mark.slow
    def test_an_extension_opens_a_mosaic_that_the_parent_had_closed(self, longer: Training) -> None:
        assert longer.trainer.mosaic_in == [3], "it closes before the last three of six"

    @pytest.mark.slow
    def test_an_extension_may_have_fewer_epochs_than_the_parent_was_planned_for(
        self, parent: Training, tmp_path: Path
    ) -> None:
        shorter = train_here(extended(parent, tmp_path, PLANNED - 1, joint=JOINT))

        assert mode_of(shorter) == ("exact", JOINT, None)
        rates = [event.lr["lr/rest/weight"] for event in shorter.of("epoch")]
        assert rates == pytest.approx(planned_rates(shorter.job, first_epoch=3), rel=1e-5)
        assert len(rates) == 1


class TestWhatTheServiceStates:
    @pytest.mark.slow
    def test_the_optimizer_that_auto_chose_gives_what_auto_gives(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        train = {"epochs": 1, "nbs": 8, "optimizer": "auto", "lr0": None}
        first = train_here(a_job(drawn("detect"), tmp_path / "first", train=train, state_every=1))
        (started,) = first.of("started")
        chosen = {"optimizer": started.optimizer, "lr0": started.lr0, "warmup_bias_lr": 0.0}

        by_auto = train_here(extended(first, tmp_path / "auto", 2, joint=1))
        stated = train_here(changed(extended(first, tmp_path / "stated", 2, joint=1), **chosen))

        assert started.optimizer == "AdamW"
        assert mode_of(stated) == ("exact", 1, None)
        assert differences(by_auto.directory, stated.directory) == []


class TestWithHalfTheBatch:
    @pytest.mark.slow
    def test_an_extension_with_half_the_batch_continues_plainly_to_the_new_total(
        self, parent: Training, tmp_path: Path
    ) -> None:
        job = changed(extended(parent, tmp_path, PLANNED + 1, joint=PLANNED), batch=2)

        halved = train_here(job)

        assert mode_of(halved) == ("plain", PLANNED, "other_batch")
        assert [event.epoch for event in halved.of("epoch")] == [PLANNED + 1]
        assert halved.of("started")[0].epochs == PLANNED + 1
        rates = [event.lr["lr/rest/weight"] for event in halved.of("epoch")]
        assert rates == pytest.approx(planned_rates(job, first_epoch=PLANNED + 1), rel=1e-5)


@pytest.mark.slow
class TestAnotherTraining:
    def test_an_extension_is_another_training_than_as_many_epochs_at_once(
        self, drawn: Callable[[Task], Path], longer: Training, tmp_path: Path
    ) -> None:
        train = CLOSED | {"epochs": PLANNED + 2}

        at_once = train_here(a_job(drawn("detect"), tmp_path, train=train), watching=(Traced,))

        rates = [
            [event.lr["lr/rest/weight"] for event in each.of("epoch")][-4:]
            for each in (at_once, longer)
        ]
        assert rates[0] == rates[1], "from the joint on the schedule is the same"
        assert at_once.rows[JOINT - 1] != longer.rows[JOINT - 1], "and before it is not"
        assert first_difference(at_once.trainer.trace, longer.trainer.trace) is not None
        assert "weights/last.pt" in differences(at_once.directory, longer.directory)


@pytest.mark.slow
class TestWithLoaderWorkers:
    def test_a_killed_extension_equals_one_that_was_not(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        watching = (Traced, SeeingMosaic, TwoLoaderWorkers)
        job = a_job(drawn("detect"), tmp_path / "first", train=CLOSED, state_every=1)
        first = train_here(job, watching=watching)

        whole = train_here(extended(first, tmp_path / "whole", 8, joint=PLANNED), watching=watching)
        again = train_here(next_attempt(whole, tmp_path / "1", epoch=5), watching=watching)
        twice = train_here(next_attempt(again, tmp_path / "2", epoch=6), watching=watching)

        assert first.trainer.mosaic_in == [1]
        assert whole.trainer.mosaic_in == [5]
        for each in (again, twice):
            assert mode_of(each)[0] == "exact"
            assert first_difference(whole.trainer.trace, each.trainer.trace) is None
            assert differences(whole.directory, each.directory) == []
