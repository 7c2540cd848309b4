"""The planned optimizer state at the epoch where a job continues its parent's training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.jobs.plan.views import GroupPlan, JointPlan, JointRate
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.spec.train_arguments import TrainArguments, tasks_of


@dataclass(frozen=True)
class PlannedJoint:
    """The facts about the parent's training that a plan needs.

    Args:
        job_id: the parent.
        epoch: the epoch of the training state, from 1.
        last_epoch: the last epoch that the parent finished.
        rates: the learning rates that the parent recorded at the end of `epoch`, by name.
    """

    job_id: str
    epoch: int
    last_epoch: int
    rates: Mapping[str, float | None] = field(default_factory=dict)


def joint_plan(joint: PlannedJoint, spec: ResolvedSpec, groups: Sequence[GroupPlan]) -> JointPlan:
    """Return how training changes at the joint.

    Args:
        joint: the last epoch of the parent that counts.
        spec: the resolved spec, with the new number of epochs.
        groups: the optimizer's groups; their rates begin with the first epoch trained.
    """
    train = spec.train
    return JointPlan(
        job=joint.job_id,
        epoch=joint.epoch,
        epochs_trained=train.epochs - joint.epoch,
        epochs_redone=joint.last_epoch - joint.epoch,
        mosaic_closes=_mosaic_closes(spec, first_epoch=joint.epoch + 1),
        earliest_stop=_earliest_stop(train, after=joint.epoch),
        rates=list(_rates(joint, groups)),
    )


def _mosaic_closes(spec: ResolvedSpec, *, first_epoch: int) -> int | None:
    """Ultralytics closes mosaic at the start of epoch `epochs - close_mosaic` (trainer.py:508)."""
    train = spec.train
    if train.close_mosaic == 0 or spec.task not in tasks_of("close_mosaic"):
        return None
    return max(first_epoch, train.epochs - train.close_mosaic + 1)


def _earliest_stop(train: TrainArguments, *, after: int) -> int | None:
    """EarlyStopping counts from its best epoch (torch_utils.py:1142), which the joint resets."""
    stop = after + train.patience
    return stop if train.patience and stop < train.epochs else None


def _rates(joint: PlannedJoint, groups: Sequence[GroupPlan]) -> Iterator[JointRate]:
    after = {group.name: group.rates[0] if group.rates else None for group in groups}
    for name in {**after, **joint.rates}:
        yield JointRate(name=name, before=joint.rates.get(name), after=after.get(name))
