"""One attempt of a job, from its file to its exit code. Imports torch only when it trains."""

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from app.jobs.end_reasons import EndReason
from app.jobs.states import Phase
from worker.trainer import null_trainer
from worker.trainer.errors import BadSpec, diagnose
from worker.trainer.events import EventPipe, events_fd
from worker.trainer.interrupts import Interrupts, limit_memory
from worker.trainer.null_trainer import is_null_trainer
from worker.trainer.protocol import ErrorEvent, JobFile, PhaseEvent, exit_code_of

_SECONDS_FOR_LAST_WORDS: Final = 1.0


def run_job(job_path: Path, interrupts: Interrupts) -> int:
    """Train the job of a job file, report events to the pipe, and return the exit code.

    Raises:
        LeaveRequested: The process received SIGTERM.
        SupervisorGone: The pipe has no reader.
    """
    on_broken = interrupts.leave_because_supervisor_is_gone
    pipe = EventPipe(events_fd(os.environ), on_broken)
    try:
        code = _attempt(job_path, pipe, interrupts)
    except BaseException:
        pipe.close(within=_SECONDS_FOR_LAST_WORDS)
        raise
    pipe.close(within=None)
    return code


def _attempt(job_path: Path, pipe: EventPipe, interrupts: Interrupts) -> int:
    try:
        pipe.emit(PhaseEvent(phase=Phase.PREPARING))
        job_file = _read(job_path)
        limit_memory(job_file.memory_limit_bytes)
        interrupts.stop_requested |= job_file.only_finalize
        _train(job_file, pipe, interrupts)
    except Exception as error:  # noqa: BLE001 - outermost: logged, diagnosed and reported
        interrupts.raise_if_leaving()
        with suppress(OSError):  # the log is on the disk that may be full
            traceback.print_exc(file=sys.stderr)
        found = diagnose(error)
        pipe.emit(
            ErrorEvent(
                code=found.reason,
                message=found.message,
                hint=found.hint,
                amended=None if found.amended is None else dict(found.amended),
            )
        )
        return exit_code_of(found.reason)
    return exit_code_of(EndReason.SUCCEEDED)


def _read(job_path: Path) -> JobFile:
    try:
        return JobFile.model_validate_json(job_path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadSpec(f"The job file is not valid at {place}: {first['msg']}") from error


def _train(job_file: JobFile, pipe: EventPipe, interrupts: Interrupts) -> None:
    if is_null_trainer(job_file.spec):
        null_trainer.train(job_file, pipe, interrupts)
        return
    # Imported late: memory is already limited, and failures to import torch are reported, too.
    from worker.trainer.training import train  # noqa: PLC0415

    train(job_file, pipe, interrupts)
