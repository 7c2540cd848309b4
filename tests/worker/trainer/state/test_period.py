import pytest

from app.ops.garbage import READER_GRACE
from app.settings.retention import GarbageSettings
from worker.trainer.state.period import (
    SHARE,
    STORED_BYTES_PER_SECOND,
    STORING_BYTES_PER_SECOND,
    StatePeriod,
)

MEGABYTE = 1_000_000


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestFixedPeriod:
    def test_a_period_of_three_epochs_counts_from_the_first_of_the_job(self) -> None:
        period = StatePeriod(3, has_state=False)

        due = [epoch for epoch in range(1, 10) if period.is_due(epoch=epoch, expected_bytes=1)]

        assert due == [3, 6, 9]


class TestAdaptivePeriod:
    @pytest.mark.parametrize("epoch_seconds", [0.5, 8.0, 300.0])
    @pytest.mark.parametrize("megabytes", [1, 32, 400])
    @pytest.mark.parametrize("writing_seconds", [0.01, 0.5, 5.0])
    def test_an_adaptive_period_keeps_below_its_share_of_the_training_at_every_moment(
        self, epoch_seconds: float, megabytes: int, writing_seconds: float
    ) -> None:
        clock = Clock()
        period = StatePeriod(None, has_state=True, clock=clock)
        size = megabytes * MEGABYTE
        spent, states = 0.0, 0

        for epoch in range(1, 3000):
            clock.now += epoch_seconds
            if period.is_due(epoch=epoch, expected_bytes=size):
                spent += writing_seconds + size / STORING_BYTES_PER_SECOND
                states += 1
                period.written(seconds=writing_seconds, size=size)
                period.stored(seconds=size / STORING_BYTES_PER_SECOND)
                if states > 1:  # the cost of the first one was unknown
                    assert spent < SHARE * (clock.now - 1000.0)

        trained = 2999 * epoch_seconds
        price = writing_seconds + size / STORING_BYTES_PER_SECOND
        assert states >= min(int(SHARE * trained / price) - 1, 2999 - int(price / SHARE) - 1)

    def test_an_adaptive_period_writes_after_every_epoch_where_epochs_are_long(self) -> None:
        clock = Clock()
        period = StatePeriod(None, has_state=True, clock=clock)
        due = []

        for epoch in range(1, 6):
            clock.now += 300
            due.append(period.is_due(epoch=epoch, expected_bytes=32 * MEGABYTE))
            period.written(seconds=0.2, size=32 * MEGABYTE)
            period.stored(seconds=0.3)

        assert due == [True] * 5

    def test_a_store_that_is_slower_than_supposed_makes_states_rarer(self) -> None:
        due = {}
        for storing_seconds in (0.4, 4.0):
            clock = Clock()
            period = StatePeriod(None, has_state=True, clock=clock)
            due[storing_seconds] = 0

            for epoch in range(1, 1001):
                clock.now += 10
                if period.is_due(epoch=epoch, expected_bytes=40 * MEGABYTE):
                    period.written(seconds=0.1, size=40 * MEGABYTE)
                    period.stored(seconds=storing_seconds)
                    due[storing_seconds] += 1

        assert due[0.4] == pytest.approx(SHARE * 10_000 / 0.5, rel=0.05)
        assert due[4.0] == pytest.approx(SHARE * 10_000 / 4.1, rel=0.05)

    def test_an_adaptive_period_waits_while_the_last_state_is_not_stored_yet(self) -> None:
        clock = Clock()
        period = StatePeriod(None, has_state=True, clock=clock)
        period.written(seconds=0.1, size=MEGABYTE)
        clock.now += 100_000

        assert not period.is_due(epoch=1, expected_bytes=MEGABYTE)
        period.stored(seconds=0.1)
        assert period.is_due(epoch=2, expected_bytes=MEGABYTE)

    def test_an_adaptive_period_of_a_run_without_a_state_begins_with_its_first_epoch(self) -> None:
        clock = Clock()
        period = StatePeriod(None, has_state=False, clock=clock)
        due = []

        for epoch in range(1, 4):
            clock.now += 0.5
            due.append(period.is_due(epoch=epoch, expected_bytes=400 * MEGABYTE))
            period.written(seconds=0.5, size=400 * MEGABYTE)

        assert due == [True, False, False]

    def test_an_adaptive_period_stores_at_most_its_bytes_per_second_however_fast_the_store(
        self,
    ) -> None:
        clock = Clock()
        period = StatePeriod(None, has_state=True, clock=clock)
        size, states = 400 * MEGABYTE, 0

        for epoch in range(1, 10_001):
            clock.now += 1
            if period.is_due(epoch=epoch, expected_bytes=size):
                period.writing()
                period.written(seconds=0.001, size=size)
                period.stored(seconds=0.001)
                states += 1

        assert states == pytest.approx(STORED_BYTES_PER_SECOND * 10_000 / size, abs=1)

    def test_replaced_states_of_a_running_job_take_at_most_four_gigabytes_in_the_store(
        self,
    ) -> None:
        seconds = READER_GRACE.total_seconds() + GarbageSettings().period_seconds

        assert STORED_BYTES_PER_SECOND * seconds < 4000 * MEGABYTE

    def test_a_state_that_could_not_be_written_leaves_the_next_epoch_due(self) -> None:
        period = StatePeriod(None, has_state=False, clock=Clock())
        due = []

        for epoch in (1, 2):
            due.append(period.is_due(epoch=epoch, expected_bytes=MEGABYTE))
            period.writing()
            due.append(period.is_due(epoch=epoch, expected_bytes=MEGABYTE))
            period.not_written()

        assert due == [True, False, True, False]
