"""A job that cannot resume exactly resumes plainly, and reports the reason."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from tests.worker.trainer.resume.resume_cases import TwoLoaderWorkers
from worker.trainer.mixins.exact_resume import exact_resume_of
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.state.not_exact import NotExact

SMALL = ArchitectureSource(name="yolov8n.yaml")


@pytest.fixture(scope="module")
def earlier(drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory) -> Training:
    directory = tmp_path_factory.mktemp("earlier")
    train = {"epochs": 2, "imgsz": 32}
    facts = {"architecture": SMALL.name}
    job = a_job(drawn("detect"), directory, train=train, model=SMALL, facts=facts, state_every=1)
    return train_here(job)


def with_batch(job: JobFile, batch: int) -> JobFile:
    train = job.spec.train.model_copy(update={"batch": batch})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"train": train})})


def without_state(job: JobFile) -> JobFile:
    return job.model_copy(update={"state_from": None})


def with_a_cut_state(job: JobFile) -> JobFile:
    assert job.state_from is not None
    job.state_from.write_bytes(job.state_from.read_bytes()[:1000])
    return job


def with_another_best(job: JobFile) -> JobFile:
    best = job.run_directory / "weights" / "best.pt"
    best.write_bytes(best.read_bytes() + b"0")
    return job


def with_a_budget(job: JobFile) -> JobFile:
    train = job.spec.train.model_copy(update={"time": 1.0})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"train": train})})


def with_more_threads(job: JobFile) -> JobFile:
    return job.model_copy(update={"threads": job.threads + 1})


CHANGES: Mapping[str, Callable[[JobFile], JobFile]] = {
    "no_state": without_state,
    "unreadable_state": with_a_cut_state,
    "other_files": with_another_best,
    "other_threads": with_more_threads,
    "other_batch": lambda job: with_batch(job, 3),
    "time_budget": with_a_budget,
}


class TestExactResumeOf:
    @pytest.mark.parametrize("reason", CHANGES)
    def test_an_exact_resume_that_is_impossible_names_what_differs(
        self, reason: str, earlier: Training, tmp_path: Path
    ) -> None:
        job = CHANGES[reason](next_attempt(earlier, tmp_path, epoch=1))

        with pytest.raises(NotExact) as refused:
            exact_resume_of(job)

        assert refused.value.reason == reason

    def test_an_exact_resume_takes_a_state_that_fits(
        self, earlier: Training, tmp_path: Path
    ) -> None:
        job = next_attempt(earlier, tmp_path, epoch=1)

        assert exact_resume_of(job).header.epoch == 1


class TestPlainResume:
    def test_a_plain_resume_trains_the_rest_and_names_the_reason(
        self, earlier: Training, tmp_path: Path
    ) -> None:
        job = with_batch(next_attempt(earlier, tmp_path, epoch=1), 3)

        resumed = train_here(job)

        (said,) = resumed.of("resumed")
        assert (said.mode, said.epoch, said.reason) == ("plain", 1, "other_batch")
        assert [event.epoch for event in resumed.of("epoch")] == [2]
        assert [row["epoch"] for row in resumed.rows] == ["1", "2"]

    @pytest.mark.slow
    def test_a_resume_that_turns_plain_once_the_loaders_exist_keeps_the_rows_before(
        self, earlier: Training, tmp_path: Path
    ) -> None:
        job = next_attempt(earlier, tmp_path, epoch=1)

        resumed = train_here(job, watching=(TwoLoaderWorkers,))

        (said,) = resumed.of("resumed")
        assert (said.mode, said.reason) == ("plain", "other_workers")
        assert resumed.rows[0] == earlier.rows[0]
        assert [event.epoch for event in resumed.of("epoch")] == [2]
