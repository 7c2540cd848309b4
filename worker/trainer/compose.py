"""One trainer class for one job: our mixins over the task's own Ultralytics trainer."""

from collections.abc import Callable
from typing import Final, cast

from ultralytics.models import yolo

from app.core.tasks import Task
from app.jobs.spec.customize import MetricsChoice
from app.jobs.spec.job_spec import ResolvedSpec
from worker.trainer.customizations.best_model import BestModel, has_chosen_metric
from worker.trainer.customizations.class_weights import ClassWeights
from worker.trainer.customizations.freezing import Freezing
from worker.trainer.customizations.keep_best import KeepBest
from worker.trainer.customizations.layer_lrs import LayerRates
from worker.trainer.customizations.metrics import ClassMetrics
from worker.trainer.mixins.checkpoints import Checkpoints
from worker.trainer.mixins.exact_resume import ExactResuming
from worker.trainer.mixins.finalizing import Finalizing
from worker.trainer.mixins.loader_notes import Noting
from worker.trainer.mixins.named_failures import NamedFailures
from worker.trainer.mixins.plain_resume import Resuming
from worker.trainer.mixins.plugin_callbacks import PluginCallbacks
from worker.trainer.mixins.reporting import Reporting
from worker.trainer.mixins.stopping import StopOnRequest
from worker.trainer.mixins.training_states import TrainingStates
from worker.trainer.plugins.interface import (
    ChosenPlugin,
    PluginUnusable,
    plugin_of,
    reserved_names,
)
from worker.trainer.protocol import JobFile
from worker.trainer.run import Composed, TrainingRun
from worker.trainer.state.file import Heading

TASK_TRAINERS: Final[dict[Task, type]] = {
    "detect": yolo.detect.DetectionTrainer,
    "segment": yolo.segment.SegmentationTrainer,
    "pose": yolo.pose.PoseTrainer,
    "obb": yolo.obb.OBBTrainer,
    "classify": yolo.classify.ClassificationTrainer,
    "semantic": yolo.semantic.SemanticSegmentationTrainer,
    "depth": yolo.depth.DepthTrainer,
}

# Outermost first. Finalizing and Resuming only decide what happens after the last epoch. At the end
# of an epoch (`hook_after_epoch`) the others call super() first, so they act from the last to the
# first: Reporting reports the epoch, StopOnRequest decides whether to stop, TrainingStates writes
# the training state, and Checkpoints hands all files over. docs/training-loop.md has every point.
AROUND: Final[tuple[type[Composed], ...]] = (
    Finalizing,
    Resuming,
    ExactResuming,
    Checkpoints,
    TrainingStates,
    StopOnRequest,
    Reporting,
    Noting,
)

# Outermost first: KeepBest and BestModel choose a checkpoint, so they see what ClassMetrics adds.
CUSTOMIZATIONS: Final[tuple[tuple[type[Composed], Callable[[ResolvedSpec], bool]], ...]] = (
    (KeepBest, lambda spec: bool(spec.customize.keep_best)),
    (BestModel, lambda spec: has_chosen_metric(spec.customize)),
    (ClassMetrics, lambda spec: spec.customize.metrics != MetricsChoice()),
    (ClassWeights, lambda spec: spec.customize.class_weights is not None),
    (Freezing, lambda spec: spec.customize.freeze is not None),
    (LayerRates, lambda spec: bool(spec.customize.layer_lrs)),
)

# Innermost: it must see Ultralytics' exceptions before any other class does.
INNERMOST: Final[tuple[type[Composed], ...]] = (NamedFailures,)


def compose_trainer(run: TrainingRun) -> type[Composed]:
    """Return the class that trains the job, over the classes of its plugin if it names one.

    Its name must not contain "Trainer": Ultralytics would add the callbacks of its platform and of
    all integrations (8.4.190, callbacks/base.py:197).

    Raises:
        BadSpec: the plugin does not take the options.
        PluginUnusable: it is not here, or its classes do not go with the task's trainer.
    """
    task = run.job.task
    plugin = plugin_of(run.job.spec.trainer, task)
    chosen = customizations_of(run.job.spec)
    bases = (*AROUND, *chosen, *INNERMOST, *bases_of(plugin, task))
    options = {} if plugin is None else {"plugin_options": plugin.options}
    try:
        composed = type(f"{task.capitalize()}Training", bases, {"run": run, **options})
    except TypeError as error:
        if plugin is None:
            raise
        message = f"The classes of the trainer plugin {plugin.name} cannot be combined: {error}"
        raise PluginUnusable(message) from error
    return cast("type[Composed]", composed)


def bases_of(plugin: ChosenPlugin | None, task: Task) -> tuple[type, ...]:
    """Return what stands below our own classes: the task's trainer, or what the plugin makes of it.

    Raises:
        PluginUnusable: the plugin's trainer is not derived from the task's own, or defines
            reserved names.
    """
    stock = TASK_TRAINERS[task]
    if plugin is None:
        return (stock,)
    own = plugin.plugin.trainer_for(task) or stock
    if not issubclass(own, stock):
        raise PluginUnusable(
            f"The trainer plugin {plugin.name} trains {task} with {own.__name__}, "
            f"which is not derived from {stock.__name__}."
        )
    if taken := reserved_names([own]):
        raise PluginUnusable(
            f"The trainer plugin {plugin.name} trains {task} with {own.__name__}, "
            f"which defines reserved names: {', '.join(taken)}."
        )
    calls = {"plugin_callbacks": plugin.plugin.callbacks, "plugin_class": plugin.plugin}
    return (type("CallbacksOfPlugin", (PluginCallbacks,), calls), *plugin.plugin.mixins, own)


def customizations_of(spec: ResolvedSpec) -> tuple[type[Composed], ...]:
    """Return the mixins that the spec asks for, outermost first."""
    return tuple(mixin for mixin, is_asked_for in CUSTOMIZATIONS if is_asked_for(spec))


def overrides(job: JobFile, going_on: Heading | None = None) -> dict[str, object]:
    """Return the arguments of the job's trainer.

    On a plain resume all but these few come out of the checkpoint (trainer.py:1045). The batch is
    said again: it may have been halved since. What -1 or a share came to stands in the checkpoint.
    An exact resume starts as the job did, with what Ultralytics chose then.

    Args:
        job: to be trained.
        going_on: the heading of the state that it goes on from exactly.
    """
    asked = job.spec.train.to_ultralytics()
    places: dict[str, object] = {
        "data": str(job.dataset_path if job.task == "classify" else job.dataset_path / "data.yaml"),
        "device": job.device,
        "save_dir": str(job.run_directory),
    }
    if job.resume_from is not None and going_on is None:
        again = {name: asked[name] for name in ("workers",) if name in asked}
        if job.spec.train.batch >= 1:
            again["batch"] = job.spec.train.batch
        return {**places, **again, "resume": str(job.resume_from)}
    return {
        **asked,
        **places,
        "task": job.task,
        "model": job.model.name if job.model.kind == "architecture" else str(job.model.path),
        "save": True,
        "val": True,
        "exist_ok": True,
        **({} if going_on is None else {"batch": going_on.batch, **going_on.arguments}),
    }
