"""Composes a job's trainer class: our mixins over the task's own Ultralytics trainer."""

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
from worker.trainer.mixins.batch_plots import BatchPlots
from worker.trainer.mixins.checkpoints import Checkpoints
from worker.trainer.mixins.data_failures import DataFailures
from worker.trainer.mixins.divergence import Divergence
from worker.trainer.mixins.exact_resume import ExactResuming
from worker.trainer.mixins.finalizing import Finalizing
from worker.trainer.mixins.loader_notes import LoaderNotes
from worker.trainer.mixins.loader_wait import LoaderWait
from worker.trainer.mixins.log_rows import LogRows
from worker.trainer.mixins.named_failures import NamedFailures
from worker.trainer.mixins.plain_resume import Resuming
from worker.trainer.mixins.plot_failures import PlotFailures
from worker.trainer.mixins.plugin_callbacks import PluginCallbacks
from worker.trainer.mixins.prepared_data import PreparedData
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
from worker.trainer.run import TrainerMixin, TrainingRun
from worker.trainer.state.file import StateHeader

TASK_TRAINERS: Final[dict[Task, type]] = {
    "detect": yolo.detect.DetectionTrainer,
    "segment": yolo.segment.SegmentationTrainer,
    "pose": yolo.pose.PoseTrainer,
    "obb": yolo.obb.OBBTrainer,
    "classify": yolo.classify.ClassificationTrainer,
    "semantic": yolo.semantic.SemanticSegmentationTrainer,
    "depth": yolo.depth.DepthTrainer,
}

# Outermost first. At the end of an epoch (`hook_after_epoch`) five classes call super() first, so
# they act from the last to the first: Reporting reports the epoch, BatchPlots waits for its plots,
# StopOnRequest decides whether to stop, TrainingStates takes a snapshot of the training state, and
# Checkpoints hands all files over. LoaderWait is outermost so that it times no other class;
# Divergence is next because it decides whether there is a result to finalize, and then Finalizing
# because its report of the end comes after everything else.
# Resuming is around the whole loop, which it skips if no epoch is left. ExactResuming restores a
# state before any hook of an epoch acts; LoaderNotes acts closest to the loaders.
# docs/training-loop.md has every point.
AROUND: Final[tuple[type[TrainerMixin], ...]] = (
    LoaderWait,
    Divergence,
    Finalizing,
    Resuming,
    ExactResuming,
    Checkpoints,
    TrainingStates,
    StopOnRequest,
    BatchPlots,
    Reporting,
    LogRows,
    PlotFailures,
    LoaderNotes,
)

# Outermost first: KeepBest and BestModel choose a checkpoint, so they see what ClassMetrics adds.
CUSTOMIZATIONS: Final[tuple[tuple[type[TrainerMixin], Callable[[ResolvedSpec], bool]], ...]] = (
    (KeepBest, lambda spec: bool(spec.customize.keep_best)),
    (BestModel, lambda spec: has_chosen_metric(spec.customize)),
    (ClassMetrics, lambda spec: spec.customize.metrics != MetricsChoice()),
    (ClassWeights, lambda spec: spec.customize.class_weights is not None),
    (Freezing, lambda spec: spec.customize.freeze is not None),
    (LayerRates, lambda spec: bool(spec.customize.layer_lrs)),
)

# Innermost: they must see Ultralytics' exceptions before any other class does.
INNERMOST: Final[tuple[type[TrainerMixin], ...]] = (NamedFailures, DataFailures, PreparedData)


def compose_trainer(run: TrainingRun) -> type[TrainerMixin]:
    """Return the class that trains the job, over the classes of its plugin if it names one.

    Its name must not contain "Trainer": Ultralytics would add the callbacks of its platform and of
    all integrations (8.4.190, callbacks/base.py:197).

    Raises:
        BadSpec: The plugin rejects the options.
        PluginUnusable: The plugin is not installed, or its classes cannot be combined with the
            task's trainer.
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
    return cast("type[TrainerMixin]", composed)


def bases_of(plugin: ChosenPlugin | None, task: Task) -> tuple[type, ...]:
    """Return the classes below our own: the task's trainer, or the plugin's classes over it.

    Raises:
        PluginUnusable: The plugin's trainer is not derived from the task's own, or defines
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


def customizations_of(spec: ResolvedSpec) -> tuple[type[TrainerMixin], ...]:
    """Return the mixins that the spec needs, outermost first."""
    return tuple(mixin for mixin, is_needed in CUSTOMIZATIONS if is_needed(spec))


def overrides(job_file: JobFile, resumed_from: StateHeader | None = None) -> dict[str, object]:
    """Return the arguments of the job's trainer.

    On a plain resume all arguments except these few come from the checkpoint (trainer.py:1045). A
    fixed batch size is passed again, since it may have been halved meanwhile; for -1 or a fraction
    the checkpoint has the size that Ultralytics chose. An exact resume starts like the job's first
    attempt, with the values that Ultralytics chose then.

    Args:
        job_file: The job to train.
        resumed_from: The header of the state of an exact resume.
    """
    arguments = job_file.spec.train.to_ultralytics()
    dataset, model = job_file.dataset_path, job_file.model
    places: dict[str, object] = {
        "data": str(dataset if job_file.task == "classify" else dataset / "data.yaml"),
        "device": job_file.device,
        "save_dir": str(job_file.run_directory),
    }
    if job_file.resume_from is not None and resumed_from is None:
        again = {name: arguments[name] for name in ("workers",) if name in arguments}
        if job_file.spec.train.batch >= 1:
            again["batch"] = job_file.spec.train.batch
        return {**places, **again, "resume": str(job_file.resume_from)}
    return {
        **arguments,
        **places,
        "task": job_file.task,
        "model": model.name if model.kind == "architecture" else str(model.path),
        "save": True,
        "val": True,
        "exist_ok": True,
        **({} if resumed_from is None else {"batch": resumed_from.batch, **resumed_from.arguments}),
    }
