"""What a composed trainer knows of its job, shared by all mixins."""

from dataclasses import dataclass
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
    """

    run: ClassVar[TrainingRun]
    finalizing: bool = False
    rate_names: tuple[str, ...] = ()
