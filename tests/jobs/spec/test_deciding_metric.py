"""The metric that decides which epoch is the best."""

import pytest

from app.core.tasks import Task
from app.jobs.spec.deciding_metric import FITNESS_OF, deciding_metric
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec, SpecFacts, resolve_spec

VERSION = "dsv_01JABCDEFGHJKMNPQRSTVWXYZ0"
METRICS = {
    "metrics/mAP50-95(B)": 0.25,
    "metrics/mAP50-95(M)": 0.5,
    "metrics/mAP50-95(P)": 0.125,
    "metrics/accuracy_top1": 0.5,
    "metrics/accuracy_top5": 1.0,
    "metrics/mIoU": 0.75,
    "metrics/delta1": 0.0,
    "val/box_loss": 3.5,
}
FITNESS: dict[Task, float] = {
    "detect": 0.25,
    "obb": 0.25,
    "segment": 0.75,
    "pose": 0.375,
    "classify": 0.75,
    "semantic": 0.75,
    "depth": 0.0,
}


def resolved(task: Task, customize: dict[str, object] | None) -> ResolvedSpec:
    spec = JobSpec.model_validate(
        {"dataset": VERSION, "model": "yolo26n.yaml", "task": task, "customize": customize}
    )
    return resolve_spec(spec, SpecFacts(VERSION, task))


class TestDecidingMetric:
    @pytest.mark.parametrize("task", FITNESS)
    def test_the_deciding_metric_is_ultralytics_fitness_of_the_task_by_default(
        self, task: Task
    ) -> None:
        deciding = deciding_metric(resolved(task, None))

        assert (deciding.name, deciding.value_of(METRICS)) == ("fitness", FITNESS[task])

    def test_every_task_has_a_deciding_metric(self) -> None:
        assert set(FITNESS_OF) == set(FITNESS)

    def test_the_chosen_metric_is_shown_as_it_is_whichever_way_is_better(self) -> None:
        customize: dict[str, object] = {"best_model": {"metric": "val/box_loss"}}

        deciding = deciding_metric(resolved("detect", customize))

        assert (deciding.name, deciding.value_of(METRICS)) == ("val/box_loss", 3.5)

    @pytest.mark.parametrize("values", [{}, {"metrics/mAP50-95(B)": None}])
    def test_a_deciding_metric_that_is_missing_or_not_finite_has_no_value(
        self, values: dict[str, float | None]
    ) -> None:
        assert FITNESS_OF["segment"].value_of(values) is None

    def test_a_spec_of_before_customizations_reads_as_one_without(self) -> None:
        stored = resolved("detect", None).model_dump(mode="json") | {"customize": None}
        for later in ("architecture", "class_weights", "trainer"):
            stored.pop(later)

        spec = ResolvedSpec.model_validate(stored, strict=False)

        assert deciding_metric(spec) == FITNESS_OF["detect"]
