"""A training that was interrupted is, from its training state on, the one that was not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.jobs.spec import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt
from tests.worker.trainer.exactness import differences, first_difference
from tests.worker.trainer.resume_cases import CASES, job_of, trained


@pytest.mark.slow
class TestEveryCase:
    @pytest.mark.parametrize("name", CASES)
    def test_a_resumed_training_is_the_one_that_was_not_interrupted(
        self, name: str, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        case = CASES[name]
        whole = trained(job_of(case, drawn(case.task), tmp_path / "whole"), case)

        attempts = [whole]
        for epoch in case.kills:
            job = next_attempt(attempts[-1], tmp_path / f"from-{epoch}", epoch=epoch)
            attempts.append(trained(job, case))

        assert whole.trainer.train_loader.num_workers == case.workers
        for each in attempts[1:]:
            assert [event.mode for event in each.of("resumed")] == ["exact"], each.of("resumed")
            assert first_difference(whole.trainer.trace, each.trainer.trace) is None
            assert differences(whole.directory, each.directory) == []
            assert told(each) == told(whole)[-len(told(each)) :]


def told(training: Training) -> list[dict[str, object]]:
    """What was said of each epoch, without how long it took."""
    return [event.model_dump(exclude={"seq", "at", "seconds"}) for event in training.of("epoch")]
