"""The learning rates of every epoch, computed again from a stored plan."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.errors import SeriesTooLong
from app.jobs.plan import rates
from app.jobs.plan.joint import PlannedJoint
from app.jobs.plan.rates import with_rates
from app.jobs.plan.views import StoredPlan
from tests.jobs.planning import LONG, planned

JOINT = PlannedJoint("job_" + "0" * 26, 12, 14)
OPTIMIZERS = st.one_of(
    st.just({"optimizer": "auto"}),
    st.fixed_dictionaries(
        {
            "optimizer": st.sampled_from(["SGD", "AdamW", "MuSGD"]),
            "warmup_bias_lr": st.sampled_from([0.0, 0.1]),
        }
    ),
)
SCHEDULES = st.fixed_dictionaries(
    {
        "epochs": st.integers(13, 40),
        "warmup_epochs": st.sampled_from([0.0, 0.5, 3.0]),
        "cos_lr": st.booleans(),
        "lrf": st.sampled_from([0.01, 1.0]),
    }
)


def resolved(train: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a resolved spec that rates come from."""
    return {"train": LONG | train}


def group_rates(plan: StoredPlan, place: int) -> list[float]:
    found = plan.optimizer.groups[place].rates
    assert found is not None
    return found


class TestWithRates:
    @settings(max_examples=25, deadline=None)
    @given(optimizer=OPTIMIZERS, schedule=SCHEDULES, is_extension=st.booleans())
    def test_the_rates_are_those_that_the_plan_shows_of_its_epochs(
        self, optimizer: dict[str, Any], schedule: dict[str, Any], *, is_extension: bool
    ) -> None:
        train = optimizer | schedule
        plan = planned(
            train=train,
            joint=JOINT if is_extension else None,
            customize={"layer_lrs": [{"layers": "backbone", "factor": 0.1}]},
        )

        every = with_rates(plan, resolved(train), first=1, last=None)

        first = 13 if is_extension else 1
        assert every.epochs_shown == list(range(first, train["epochs"] + 1))
        for place, group in enumerate(every.groups):
            by_epoch = dict(zip(every.epochs_shown, group.rates or (), strict=True))
            shown = [by_epoch[epoch] for epoch in plan.optimizer.epochs_shown]
            assert shown == group_rates(plan, place)

    def test_a_range_selects_epochs_that_are_trained(self) -> None:
        optimizer = with_rates(planned(), resolved({}), first=19, last=99)

        assert optimizer.epochs_shown == [19, 20]
        assert {len(group.rates or ()) for group in optimizer.groups} == {2}

    def test_a_plan_without_a_schedule_stays_without_rates(self) -> None:
        plan = planned(train={"batch": -1})

        assert with_rates(plan, resolved({"batch": -1}), first=1, last=None) == plan.optimizer

    def test_more_rates_than_fit_are_refused_with_a_range_that_fits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rates, "MOST_RATES", 30)

        with pytest.raises(SeriesTooLong, match="rates=1-10"):
            with_rates(planned(), resolved({}), first=1, last=None)
