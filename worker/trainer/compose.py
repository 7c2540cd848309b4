"""One trainer class for one job: our mixins over the task's own Ultralytics trainer."""

from collections.abc import Callable
from typing import Final, cast

from ultralytics.models import yolo

from app.jobs.spec import ResolvedSpec, Task
from worker.trainer.checkpoints import Checkpoints
from worker.trainer.customizations.freezing import Freezing
from worker.trainer.customizations.layer_lrs import LayerRates
from worker.trainer.finalizing import Finalizing
from worker.trainer.named_failures import NamedFailures
from worker.trainer.protocol import JobFile
from worker.trainer.reporting import Reporting
from worker.trainer.resuming import Resuming
from worker.trainer.run import Composed, TrainingRun
from worker.trainer.stopping import StopOnRequest

TASK_TRAINERS: Final[dict[Task, type]] = {
    "detect": yolo.detect.DetectionTrainer,
    "segment": yolo.segment.SegmentationTrainer,
    "pose": yolo.pose.PoseTrainer,
    "obb": yolo.obb.OBBTrainer,
    "classify": yolo.classify.ClassificationTrainer,
    "semantic": yolo.semantic.SemanticSegmentationTrainer,
    "depth": yolo.depth.DepthTrainer,
}

# Outermost first. The first three only decide what happens after the last epoch. Checkpoints is
# outside of Reporting: both act after super(), and an epoch is told before its checkpoint is handed
# over.
AROUND: Final[tuple[type[Composed], ...]] = (
    Finalizing,
    Resuming,
    StopOnRequest,
    Checkpoints,
    Reporting,
)

# Outermost first: what chooses a checkpoint sees the metrics that another customization adds.
CUSTOMIZATIONS: Final[tuple[tuple[type[Composed], Callable[[ResolvedSpec], bool]], ...]] = (
    (Freezing, lambda spec: spec.customize.freeze is not None),
    (LayerRates, lambda spec: bool(spec.customize.layer_lrs)),
)

# Innermost: it must see Ultralytics' exceptions before anyone else does.
INNERMOST: Final[tuple[type[Composed], ...]] = (NamedFailures,)


def compose_trainer(run: TrainingRun) -> type[Composed]:
    """Return the class that trains the job.

    Its name must not contain "Trainer": Ultralytics would add the callbacks of its platform and of
    all integrations (8.4.190, callbacks/base.py:197).
    """
    task = run.job.task
    chosen = customizations_of(run.job.spec)
    bases = (*AROUND, *chosen, *INNERMOST, TASK_TRAINERS[task])
    return cast("type[Composed]", type(f"{task.capitalize()}Training", bases, {"run": run}))


def customizations_of(spec: ResolvedSpec) -> tuple[type[Composed], ...]:
    """Return the mixins that the spec asks for, outermost first."""
    return tuple(mixin for mixin, is_asked_for in CUSTOMIZATIONS if is_asked_for(spec))


def overrides(job: JobFile) -> dict[str, object]:
    """Return the arguments of the job's trainer.

    On a resume all but these few come out of the checkpoint (trainer.py:1045).
    """
    asked = job.spec.train.to_ultralytics()
    places: dict[str, object] = {
        "data": str(job.dataset_path if job.task == "classify" else job.dataset_path / "data.yaml"),
        "device": job.device,
        "save_dir": str(job.run_directory),
    }
    if job.resume_from is not None:
        loading = {"workers": asked["workers"]} if "workers" in asked else {}
        return {**places, **loading, "resume": str(job.resume_from)}
    return {
        **asked,
        **places,
        "task": job.task,
        "model": job.model.name if job.model.kind == "architecture" else str(job.model.path),
        "save": True,
        "val": True,
        "exist_ok": True,
    }
