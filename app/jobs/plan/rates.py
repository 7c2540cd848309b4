"""The learning rates of every epoch, from a stored plan and the job's resolved spec."""

import json
from collections.abc import Mapping
from typing import Any, Final

from app.jobs.errors import SeriesTooLong
from app.jobs.plan.schedule import TrainingSchedule
from app.jobs.plan.views import OptimizerPlan, StoredPlan
from app.jobs.spec.train_arguments import TrainArguments

MOST_RATES: Final = 100_000
"""The most rates in one response: 2 MB."""


def with_rates(
    plan: StoredPlan, resolved: Mapping[str, Any], *, first: int, last: int | None
) -> OptimizerPlan:
    """Return the optimizer of a plan with the rates of each trained epoch from `first` to `last`.

    They are computed by the same function as those that the plan was stored with. A plan without
    rates stays as it is.

    Args:
        plan: as stored.
        resolved: the job's resolved spec.
        first: from 1.
        last: None: the last epoch of all.

    Raises:
        SeriesTooLong: there are more than `MOST_RATES`.
    """
    # Strict models read JSON: from Python they would refuse a list where they have a tuple.
    train = TrainArguments.model_validate_json(json.dumps(resolved["train"]))
    optimizer, schedule = plan.optimizer, _schedule(plan, train)
    if schedule is None:
        return optimizer
    end = schedule.epochs if last is None else min(last, schedule.epochs)
    epochs = range(max(first, schedule.first_epoch), end + 1)
    _check_length(len(epochs), len(optimizer.groups), first=epochs.start)
    # `auto` lets the rate of biases begin at 0 (Ultralytics 8.4.190, trainer.py:1186).
    bias = 0.0 if optimizer.chosen_by_auto else train.warmup_bias_lr
    groups = [
        group.model_copy(
            update={
                "rates": [
                    schedule.recorded_rate(
                        epoch,
                        initial=group.initial_rate,
                        warmup_start=bias if "bias" in group.name.rpartition("/")[2] else 0.0,
                    )
                    for epoch in epochs
                ]
            }
        )
        for group in optimizer.groups
    ]
    return optimizer.model_copy(update={"epochs_shown": list(epochs), "groups": groups})


def _schedule(plan: StoredPlan, train: TrainArguments) -> TrainingSchedule | None:
    extent = plan.extent
    if extent.batches_per_epoch is None or extent.accumulate is None:
        return None
    return TrainingSchedule(
        epochs=extent.epochs,
        batches=extent.batches_per_epoch,
        accumulate=extent.accumulate,
        warmup_batches=extent.warmup_batches or 0,
        lrf=train.lrf,
        cos_lr=train.cos_lr,
        first_epoch=extent.first_epoch,
    )


def _check_length(epochs: int, groups: int, *, first: int) -> None:
    if epochs * groups <= MOST_RATES:
        return
    fitting = max(1, MOST_RATES // groups)
    raise SeriesTooLong(
        "query/rates",
        f"The plan has {epochs * groups} rates, of {groups} groups. Ask for at most {fitting} "
        f"epochs at once, such as rates={first}-{first + fitting - 1}.",
    )
