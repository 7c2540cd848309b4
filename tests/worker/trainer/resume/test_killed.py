"""Trainer processes that are killed at any point of their work, and an uninterrupted twin."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.jobs import a_job
from tests.worker.trainer.resume.exactness import differences, rows_of
from tests.worker.trainer.resume.kills import Attempts, attempts_of
from worker.trainer.protocol import ArchitectureSource, JobFile

SMALL = ArchitectureSource(name="yolov8n.yaml")


def a_job_of_epochs(dataset: Path, epochs: int, *, every: int = 1) -> JobFile:
    return a_job(
        dataset,
        dataset,
        train={"epochs": epochs, "nbs": 8, "close_mosaic": 1},
        customize={"keep_best": [{"name": "kept", "metric": "val/box_loss"}]},
        model=SMALL,
        facts={"architecture": SMALL.name},
        state_every=every,
    ).model_copy(update={"job_id": "job_01JABCDEFGHJKMNPQRSTVWXYZ1"})


def assert_equal(killed: Attempts, whole: Attempts) -> None:
    known = {(epoch, batch): rest for epoch, batch, *rest in whole.trace}
    for epoch, batch, *rest in killed.trace:
        assert rest == known[epoch, batch], (epoch, batch)
    assert {(epoch, batch) for epoch, batch, *_ in killed.trace} == known.keys()
    assert differences(whole.run_directory, killed.run_directory) == []


NO_PERIOD = 1000
"""Epochs between two states: more than any of these jobs has."""


class TestLeaving:
    @pytest.mark.usefixtures("both_ways")
    @pytest.mark.slow
    def test_a_training_that_is_requested_to_leave_loses_only_the_epoch_in_progress(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job_of_epochs(drawn("detect"), 3, every=NO_PERIOD)
        whole = attempts_of(job, tmp_path / "whole")

        left = attempts_of(
            job, tmp_path / "left", dying_at=["leave batch 2 3", "leave validation 3"]
        )

        assert [event.epoch for each in left.processes for event in each.of("resumed")] == [1, 2]
        assert left.resumed == ["exact", "exact"]
        assert_equal(left, whole)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_training_that_leaves_while_a_state_is_being_written_ends_as_its_twin(
        self, workers: int, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job_of_epochs(drawn("detect"), 5, every=2)
        whole = attempts_of(job, tmp_path / "whole", loader_workers=workers)
        places = ["leave state 2", "leave batch 4 1", "leave row 4", "leave final 5"]

        left = attempts_of(job, tmp_path / "left", dying_at=places, loader_workers=workers)

        assert [event.epoch for each in left.processes for event in each.of("resumed")] >= [2, 3, 4]
        assert set(left.resumed) == {"exact"}
        assert_equal(left, whole)


class TestKilled:
    @pytest.mark.usefixtures("both_ways")
    @pytest.mark.slow
    def test_a_training_killed_in_a_batch_and_between_state_and_row_ends_as_its_twin(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job_of_epochs(drawn("detect"), 3)
        whole = attempts_of(job, tmp_path / "whole")

        killed = attempts_of(job, tmp_path / "killed", dying_at=["batch 2 3", "row 2"])

        assert killed.resumed == ["exact", "exact"]
        assert_equal(killed, whole)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_training_killed_five_times_anywhere_ends_as_its_twin(
        self, workers: int, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job_of_epochs(drawn("detect"), 5)
        whole = attempts_of(job, tmp_path / "whole", loader_workers=workers)
        places = ["validation 2", "state 2", "batch 3 1", "row 4", "final 5"]

        killed = attempts_of(job, tmp_path / "killed", dying_at=places, loader_workers=workers)

        assert killed.resumed == ["exact"] * 5
        assert_equal(killed, whole)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_a_killed_training_with_a_state_every_third_epoch_loses_at_most_two(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job_of_epochs(drawn("detect"), 7, every=3)
        whole = attempts_of(job, tmp_path / "whole")

        killed = attempts_of(job, tmp_path / "killed", dying_at=["batch 6 2", "validation 7"])

        assert [event.epoch for each in killed.processes for event in each.of("resumed")] == [3, 6]
        assert killed.resumed == ["exact", "exact"]
        assert_equal(killed, whole)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_a_training_killed_before_its_first_state_starts_over_and_ends_as_its_twin(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job_of_epochs(drawn("detect"), 2)
        whole = attempts_of(job, tmp_path / "whole")

        killed = attempts_of(job, tmp_path / "killed", dying_at=["state 1"])

        assert killed.resumed == []
        assert len(rows_of(killed.run_directory)) == 2
        assert_equal(killed, whole)
