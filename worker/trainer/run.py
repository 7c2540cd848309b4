"""What a composed trainer knows of its job, shared by all mixins."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

from worker.trainer.interrupts import Interrupts
from worker.trainer.protocol import Event, JobFile
from worker.trainer.upstream import TaskTrainer


class Emits(Protocol):
    """Takes events; see `worker.trainer.events.EventPipe`."""

    def emit(self, event: Event) -> None: ...


@dataclass(frozen=True)
class TrainingRun:
    """A job file, the pipe its events go to, and what has been asked of the process."""

    job: JobFile
    pipe: Emits
    interrupts: Interrupts


class Composed(TaskTrainer):
    """Base of the mixins: the run, and what they tell each other.

    `finalizing`: the last epoch lies behind. `rate_names`: of the optimizer's groups, in order.
    `class_columns`: the metrics of each class in the last validation, as in `EpochEvent.classes`.
    `kept_files`: further checkpoints by file name, and whether they are of this epoch.
    """

    run: ClassVar[TrainingRun]
    finalizing: bool = False
    rate_names: tuple[str, ...] = ()
    class_columns: Mapping[str, list[float | None]] | None = None
    kept_files: Mapping[str, bool] = MappingProxyType({})
