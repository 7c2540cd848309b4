"""The plan of a job that continues another job's training."""

from typing import Any

import pytest

from app.jobs.plan.joint import PlannedJoint
from app.jobs.plan.views import JointPlan, StoredPlan
from tests.jobs.planning import codes, planned

pytestmark = pytest.mark.unit

PARENT = "job_" + "0" * 26


def at(epoch: int, *, last: int | None = None, **rates: float | None) -> PlannedJoint:
    named = {f"lr/rest/{name}": rate for name, rate in rates.items()}
    return PlannedJoint(PARENT, epoch, epoch if last is None else last, named)


def planned_on(joint: PlannedJoint, **spec: Any) -> tuple[StoredPlan, JointPlan]:  # noqa: ANN401
    """Plan twenty epochs of fifty batches that continue after `joint`."""
    plan = planned(joint=joint, **spec)
    assert plan.joint is not None
    return plan, plan.joint


class TestEpochs:
    def test_epochs_up_to_the_joint_are_not_trained(self) -> None:
        plan, joint = planned_on(at(12))

        assert (joint.job, joint.epoch) == (PARENT, 12)
        assert (joint.epochs_trained, joint.epochs_redone) == (8, 0)
        assert (plan.extent.first_epoch, plan.extent.epochs) == (13, 20)
        assert plan.extent.optimizer_steps == 8 * 50
        assert plan.optimizer.epochs_shown == [13, 16, 20]

    def test_epochs_of_the_parent_after_its_state_are_trained_again(self) -> None:
        _, joint = planned_on(at(12, last=15))

        assert (joint.epochs_trained, joint.epochs_redone) == (8, 3)


class TestRates:
    def test_each_group_has_that_of_the_parent_and_that_of_the_new_schedule(self) -> None:
        plan, joint = planned_on(at(10, weight=0.5, norm=None), train={"warmup_epochs": 0})

        after = 0.01 * (1 - 10 / 20 * 0.99)
        assert [each.name for each in joint.rates] == [each.name for each in plan.optimizer.groups]
        assert {each.name: each.before for each in joint.rates} == {
            "lr/rest/weight": 0.5,
            "lr/rest/norm": None,
            "lr/rest/bias": None,
        }
        assert [each.after for each in joint.rates] == [pytest.approx(after)] * 3

    def test_a_recorded_rate_stands_alone_where_none_is_planned(self) -> None:
        _, joint = planned_on(at(10, weight=0.5), train={"batch": -1})

        assert {each.name: (each.before, each.after) for each in joint.rates}["lr/rest/weight"] == (
            0.5,
            None,
        )


class TestMosaic:
    @pytest.mark.parametrize(("close", "closes"), [(3, 18), (8, 13), (12, 13), (0, None)], ids=str)
    def test_mosaic_is_open_until_near_the_new_end(self, close: int, closes: int | None) -> None:
        _, joint = planned_on(at(12), train={"close_mosaic": close})

        assert joint.mosaic_closes == closes

    @pytest.mark.parametrize(("close", "warned"), [(7, False), (8, True)])
    def test_a_mosaic_that_never_opens_again_is_warned_of(
        self, *, close: int, warned: bool
    ) -> None:
        plan, _ = planned_on(at(12), train={"close_mosaic": close})

        assert ("close_mosaic_covers_all" in codes(plan)) == warned


class TestPatience:
    @pytest.mark.parametrize(("patience", "stop"), [(3, 15), (7, 19), (8, None), (0, None)])
    def test_patience_counts_from_the_joint(self, patience: int, stop: int | None) -> None:
        _, joint = planned_on(at(12), train={"patience": patience})

        assert joint.earliest_stop == stop

    @pytest.mark.parametrize(("epoch", "warned"), [(5, True), (6, False)])
    def test_frozen_epochs_before_the_joint_cannot_use_up_patience(
        self, *, epoch: int, warned: bool
    ) -> None:
        frozen = {"freeze": {"layers": [3], "epochs": 10}}

        plan, _ = planned_on(at(epoch), train={"patience": 4}, customize=frozen)

        assert ("patience_within_freeze" in codes(plan)) == warned


class TestWarnings:
    def test_a_factor_of_layers_that_were_unfrozen_before_is_none(self) -> None:
        customize = {
            "freeze": {"layers": [3], "epochs": 4},
            "layer_lrs": [{"layers": [3], "factor": 2}],
        }

        plans = [planned_on(at(epoch), customize=customize)[0] for epoch in (3, 4)]

        assert ["factor_after_unfreezing" in codes(plan) for plan in plans] == [True, False]

    def test_few_steps_are_not_warned_of_where_others_went_before(self) -> None:
        train = {"epochs": 21, "batch": 200}

        plan, _ = planned_on(at(20), train=train)

        assert "few_optimizer_steps" not in codes(plan)
        assert "few_optimizer_steps" in codes(planned(train=train))
