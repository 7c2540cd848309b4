import pytest

from worker.trainer.mixins.pace import Pace


class TestPace:
    def test_the_pace_is_unknown_before_the_first_batch(self) -> None:
        assert Pace().eta_seconds(batches_left=5, validations_left=1) is None

    def test_the_pace_counts_batches_and_validations(self) -> None:
        pace = Pace()

        pace.batch_took(2.0)
        pace.validation_took(10.0)

        assert pace.eta_seconds(batches_left=5, validations_left=2) == 30.0

    def test_the_pace_follows_a_change_of_speed(self) -> None:
        pace = Pace()
        pace.batch_took(1.0)

        for _ in range(100):
            pace.batch_took(3.0)

        assert pace.eta_seconds(batches_left=1, validations_left=0) == pytest.approx(3.0, abs=0.01)

    def test_a_slow_first_batch_is_forgotten(self) -> None:
        slow, even = Pace(), Pace()
        slow.batch_took(60.0)
        even.batch_took(1.0)

        for _ in range(60):
            slow.batch_took(1.0)

        assert slow.batch_seconds == pytest.approx(even.batch_seconds, abs=0.2)
