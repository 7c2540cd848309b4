from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.plan.schedule import (
    TrainingSchedule,
    nominal_iterations,
    scaled_weight_decay,
    schedule_of,
)
from app.jobs.spec.train_arguments import TrainArguments


def a_schedule(**changes: object) -> TrainingSchedule:
    """100 epochs of 50 batches, 3 warm-up epochs, 4 batches a step, rates that fall to 1/100."""
    fields: dict[str, Any] = {
        "epochs": 100,
        "batches": 50,
        "accumulate": 4,
        "warmup_batches": 150,
        "lrf": 0.01,
        "cos_lr": False,
    }
    return TrainingSchedule(**fields | changes)


def steps_one_by_one(schedule: TrainingSchedule) -> int:
    """Count steps as the loop of Ultralytics does (8.4.190, trainer.py:519-591)."""
    last, steps = -1, 0
    for batch in range(schedule.epochs * schedule.batches):
        if batch - last >= schedule.accumulate_at(batch):
            steps += 1
            last = batch
    return steps


@st.composite
def schedules(draw: st.DrawFn) -> TrainingSchedule:
    epochs, batches = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    return a_schedule(
        epochs=epochs,
        batches=batches,
        accumulate=min(draw(st.integers(1, 64)), epochs * batches),
        warmup_batches=draw(st.integers(0, (epochs - 1) * batches)),
        lrf=draw(st.floats(0, 1)),
        cos_lr=draw(st.booleans()),
    )


class TestOptimizerSteps:
    @given(schedule=schedules())
    def test_optimizer_steps_are_those_counted_batch_by_batch(
        self, schedule: TrainingSchedule
    ) -> None:
        assert schedule.optimizer_steps == steps_one_by_one(schedule)

    @pytest.mark.parametrize(
        ("changes", "steps"),
        [
            pytest.param({"accumulate": 1}, 5000, id="a step a batch"),
            pytest.param({"accumulate": 4, "warmup_batches": 0}, 1250, id="without warm-up"),
            pytest.param({"accumulate": 5000, "warmup_batches": 0}, 1, id="one step in all"),
            pytest.param(
                {"epochs": 100_000, "batches": 1_000_000, "accumulate": 1, "warmup_batches": 10**8},
                10**11,
                id="too long to count",
            ),
        ],
    )
    def test_optimizer_steps_of_known_courses_are_right(
        self, changes: dict[str, object], steps: int
    ) -> None:
        assert a_schedule(**changes).optimizer_steps == steps

    @given(schedule=schedules(), data=st.data())
    def test_a_training_that_goes_on_counts_those_that_are_left(
        self, schedule: TrainingSchedule, data: st.DataObject
    ) -> None:
        first = data.draw(st.integers(1, schedule.epochs))
        done = replace(schedule, epochs=first - 1) if first > 1 else None
        before = 0 if done is None else steps_one_by_one(done)

        left = replace(schedule, first_epoch=first).optimizer_steps

        assert left == steps_one_by_one(schedule) - before

    def test_the_warm_up_steps_more_often_than_the_rest(self) -> None:
        cold = a_schedule(warmup_batches=0)

        assert a_schedule().optimizer_steps > cold.optimizer_steps


class TestEpochsShown:
    @pytest.mark.parametrize(
        ("epochs", "first", "shown"),
        [(100, 1, (1, 50, 100)), (1, 1, (1,)), (100, 51, (51, 75, 100)), (60, 60, (60,))],
    )
    def test_the_shown_epochs_are_the_first_the_middle_and_the_last_that_are_trained(
        self, epochs: int, first: int, shown: tuple[int, ...]
    ) -> None:
        assert a_schedule(epochs=epochs, first_epoch=first).epochs_shown == shown


class TestRates:
    @given(schedule=schedules(), initial=st.floats(1e-6, 1))
    def test_rates_never_rise_after_the_warm_up(
        self, schedule: TrainingSchedule, initial: float
    ) -> None:
        warm = range(schedule.warmup_batches // schedule.batches + 2, schedule.epochs + 1)

        rates = [schedule.recorded_rate(epoch, initial=initial, warmup_start=0.1) for epoch in warm]

        assert rates == sorted(rates, reverse=True)

    @given(schedule=schedules(), factor=st.floats(0.01, 100))
    def test_a_factor_is_kept_at_every_batch(
        self, schedule: TrainingSchedule, factor: float
    ) -> None:
        for batch in range(schedule.epochs * schedule.batches):
            usual = schedule.rate_at(batch, initial=0.01, warmup_start=0)
            other = schedule.rate_at(batch, initial=0.01 * factor, warmup_start=0)

            assert other == pytest.approx(usual * factor)

    def test_biases_come_down_to_the_rate_that_others_rise_to(self) -> None:
        schedule = a_schedule()

        biases = [schedule.rate_at(at, initial=0.01, warmup_start=0.1) for at in (0, 75, 150)]
        others = [schedule.rate_at(at, initial=0.01, warmup_start=0.0) for at in (0, 75, 150)]

        assert biases[0] == 0.1
        assert others[0] == 0.0
        assert biases[0] > biases[1] > biases[2] == others[2] > others[1] > others[0]

    @pytest.mark.parametrize(
        ("shape", "quarter"),
        [
            pytest.param({"cos_lr": False}, 0.7525, id="line"),
            pytest.param({"cos_lr": True}, 0.855018, id="cosine"),
        ],
    )
    def test_the_schedule_goes_from_all_to_its_last_share(
        self, shape: dict[str, object], quarter: float
    ) -> None:
        schedule = a_schedule(**shape)

        shares = [schedule.share_of(epoch) for epoch in (1, 26, 51, 101)]

        assert shares == pytest.approx([1, quarter, 0.505, 0.01])

    @pytest.mark.parametrize(
        ("epochs", "shown"), [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (100, (1, 50, 100))]
    )
    def test_the_first_the_middle_and_the_last_epoch_are_shown(
        self, epochs: int, shown: tuple[int, ...]
    ) -> None:
        assert a_schedule(epochs=epochs).epochs_shown == shown


class TestScheduleOf:
    def test_the_schedule_of_the_defaults_over_a_thousand_images_is_known(self) -> None:
        train = TrainArguments(optimizer="SGD")

        schedule = schedule_of(train, images=1000)

        assert schedule == a_schedule(batches=63, warmup_batches=189)

    @pytest.mark.parametrize(
        ("train", "images", "expected"),
        [
            pytest.param({"epochs": 1}, 100, (7, 4, 0), id="one epoch has no warm-up"),
            pytest.param({"epochs": 2}, 100, (7, 4, 7), id="the last epoch is never a warm-up"),
            pytest.param({"epochs": 1, "batch": 4}, 8, (2, 2, 0), id="no step beyond the end"),
            pytest.param({"batch": 64}, 10, (1, 1, 3), id="more in a batch than there are"),
            pytest.param({"batch": 10}, 100, (10, 6, 30), id="6.4 batches are 6"),
            pytest.param({"batch": 128}, 300, (3, 1, 9), id="at least one batch"),
            pytest.param({"warmup_epochs": 0.5}, 100, (7, 4, 4), id="3.5 batches are 4"),
        ],
    )
    def test_a_schedule_has_the_batches_accumulation_and_warm_up_of_its_arguments(
        self, train: dict[str, object], images: int, expected: tuple[int, int, int]
    ) -> None:
        schedule = schedule_of(TrainArguments.model_validate(train), images=images)

        assert schedule is not None
        assert (schedule.batches, schedule.accumulate, schedule.warmup_batches) == expected

    @pytest.mark.parametrize("train", [{"batch": -1}, {"batch": 0.7}, {"time": 1.0}], ids=str)
    def test_a_schedule_that_is_decided_during_the_run_is_not_planned(
        self, train: dict[str, object]
    ) -> None:
        assert schedule_of(TrainArguments.model_validate(train), images=100) is None


class TestWeightDecay:
    @pytest.mark.parametrize(
        ("train", "decay"),
        [
            pytest.param({}, 0.0005, id="batches that add up to the nominal one"),
            pytest.param({"batch": 10}, 0.0005 * 60 / 64, id="batches that do not"),
            pytest.param({"batch": 128}, 0.001, id="a batch of twice the nominal one"),
            pytest.param({"batch": -1}, None, id="a batch that the GPU decides"),
        ],
    )
    def test_weight_decay_is_scaled_to_the_images_of_a_step(
        self, train: dict[str, object], decay: float | None
    ) -> None:
        scaled = scaled_weight_decay(TrainArguments.model_validate(train))

        assert scaled == (None if decay is None else pytest.approx(decay))


class TestNominalIterations:
    @given(batch=st.integers(1, 512), images=st.integers(1, 10_000))
    def test_a_batch_that_is_not_known_has_as_many_as_any_or_more(
        self, batch: int, images: int
    ) -> None:
        known = nominal_iterations(TrainArguments(batch=batch), images=images)

        assert known <= nominal_iterations(TrainArguments(batch=-1), images=images)
