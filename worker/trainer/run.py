"""The state of a run that all mixins of a composed trainer share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

from worker.trainer.hooks import TrainerHooks
from worker.trainer.interrupts import Interrupts
from worker.trainer.plugins import TrainerPlugin
from worker.trainer.protocol import Event, JobFile
from worker.trainer.state.file import ExactResume
from worker.trainer.state.loader import RecordedLoader, RecordedOrder
from worker.trainer.state.not_exact import NotExact


class Emits(Protocol):
    """Sends events; see `worker.trainer.events.EventPipe`."""

    def emit(self, event: Event) -> None: ...


@dataclass(frozen=True)
class TrainingRun:
    """A job file, the pipe for its events, and the requests that the process received by signal.

    On a resume `exact` is the training state to continue from, or `not_exact` is the reason why the
    resume is plain.
    """

    job: JobFile
    pipe: Emits
    interrupts: Interrupts
    exact: ExactResume | None = None
    not_exact: NotExact | None = None


class TrainerMixin(TrainerHooks):
    """Base of the mixins: the run, and the attributes through which they share results.

    `rate_names`: the names of the optimizer's groups, in order.
    `class_columns`: the metrics of each class in the last validation, as in `EpochEvent.classes`.
    `kept_files`: further checkpoints by file name, and whether they are of this epoch.
    `recorded_train_loader`, `recorded_val_loader`: the loaders, if they are Ultralytics' own.
    `last_step`: the batch of the last optimizer step, counted over all epochs from 0; -1 before the
    first step.
    `state_file`: the training state of this epoch, if it is already written.
    `state_follows`: whether the training state of this epoch is written during the next one.
    `new_plots`: plots of training batches that were drawn since the last epoch.
    `first_losses`: the sums of the training losses of the job's first batches, up to ten; None if
    they are not known.
    `loader_wait_seconds`: how long the loop has waited for batches of this epoch.
    `plugin_class`: the plugin of the job.
    """

    run: ClassVar[TrainingRun]
    rate_names: tuple[str, ...] = ()
    class_columns: Mapping[str, list[float | None]] | None = None
    kept_files: Mapping[str, bool] = MappingProxyType({})
    recorded_train_loader: RecordedLoader | None = None
    recorded_val_loader: RecordedOrder | None = None
    last_step: int = -1
    state_file: Path | None = None
    state_follows: bool = False
    new_plots: tuple[Path, ...] = ()
    first_losses: list[float] | None = None
    loader_wait_seconds: float = 0.0
    plugin_class: ClassVar[type[TrainerPlugin] | None] = None
