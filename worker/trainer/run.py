"""What a composed trainer knows of its job, shared by all mixins."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

from worker.trainer.hooks import TrainerHooks
from worker.trainer.interrupts import Interrupts
from worker.trainer.plugins import TrainerPlugin
from worker.trainer.protocol import Event, JobFile
from worker.trainer.state.file import ExactResume
from worker.trainer.state.loader import NotedLoader, NotedOrder
from worker.trainer.state.not_exact import NotExact


class Emits(Protocol):
    """Takes events; see `worker.trainer.events.EventPipe`."""

    def emit(self, event: Event) -> None: ...


@dataclass(frozen=True)
class TrainingRun:
    """A job file, the pipe its events go to, and what has been asked of the process.

    On a resume `exact` is what the training goes on from, or `not_exact` why it cannot.
    """

    job: JobFile
    pipe: Emits
    interrupts: Interrupts
    exact: ExactResume | None = None
    not_exact: NotExact | None = None


class Composed(TrainerHooks):
    """Base of the mixins: the run, and what they tell each other.

    `rate_names`: of the optimizer's groups, in order.
    `class_columns`: the metrics of each class in the last validation, as in `EpochEvent.classes`.
    `kept_files`: further checkpoints by file name, and whether they are of this epoch.
    `noted_train`, `noted_val`: the loaders, if they are Ultralytics' own. `last_step`: the batch of
    the last optimizer step, counted over all epochs from 0; -1: none. `has_new_state`: state.pt is
    of this epoch. `plugin_class`: of the job.
    """

    run: ClassVar[TrainingRun]
    rate_names: tuple[str, ...] = ()
    class_columns: Mapping[str, list[float | None]] | None = None
    kept_files: Mapping[str, bool] = MappingProxyType({})
    noted_train: NotedLoader | None = None
    noted_val: NotedOrder | None = None
    last_step: int = -1
    has_new_state: bool = False
    plugin_class: ClassVar[type[TrainerPlugin] | None] = None
