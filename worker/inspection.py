"""Claim weights that an operator added, inspect them in a separate process, record the result.

Duplicate and late messages, and messages for a model that is gone, change nothing: the claim
decides.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.database import OUTAGE
from app.core.errors import InsufficientStorage, Unavailable
from app.core.guarded_files import tail_of_regular
from app.core.leased_rows import MAX_CRASHES, LeaseKeeper, RowHold
from app.core.logging import first_line, get_logger
from app.core.plain_text import shown
from app.core.storage import StoredBytesCorrupt
from app.fleet.repository import takes_work
from app.models.inspection import (
    INSPECTIONS,
    Findings,
    accept_model,
    record_crash,
    refuse_model,
)
from app.models.tables import Model
from worker.attempt.directory import private_directory
from worker.context import WorkerContext
from worker.processes.process import Command, RunningProcess
from worker.trainer.environment import trainer_environment
from worker.trainer.weights.inspection import (
    MAX_CLASS_NAME,
    MAX_REFUSAL,
    Inspection,
    read_inspection,
)

LONGEST_SECONDS: Final = 300.0
"""Time limit of one inspection; importing torch without bytecode takes half a minute."""
MEMORY_BYTES: Final = 16 * 1024**3
"""Limit of the address space if the operator set none; torch alone maps several GiB."""
POLL_SECONDS: Final = 0.05
MAX_LOGGED_BYTES: Final = 2000

log = get_logger(__name__)


class Crashed(Exception):
    """The inspection ended without a result; the message is a clause, to complete a sentence."""


class Interrupted(Exception):
    """The worker is leaving, or another one may already have claimed the model."""


@dataclass(frozen=True)
class ClaimedInspection:
    """A claimed model and its lease."""

    context: WorkerContext
    model: Model
    lease: LeaseKeeper

    def check(self) -> None:
        """Check that the inspection may continue.

        Raises:
            Interrupted: the lease is lost, or the worker is leaving.
        """
        if self.lease.is_lost or self.context.leaving.is_set():
            raise Interrupted


def inspect_models(context: WorkerContext, *, rung_for: str | None = None) -> None:
    """Inspect waiting models, `rung_for` first and then the oldest, until none is left.

    An inspection without a result is not repeated here. It waits for the next bell, which another
    slot may receive.
    """
    while not context.leaving.is_set():
        model = _claim(context, rung_for)
        if model is None or not _inspect_claimed(context, model):
            return
        rung_for = None


def _claim(context: WorkerContext, rung_for: str | None) -> Model | None:
    try:
        with context.database.write() as unit:
            if not takes_work(unit.session, context.worker_id):
                return None
            return INSPECTIONS.claim(
                unit.session, lease=context.settings.timing.lease, rung_for=rung_for
            )
    except OUTAGE as error:
        log.warning("inspection.not_claimed", error=first_line(error))
        return None


def _inspect_claimed(context: WorkerContext, model: Model) -> bool:
    """Inspect a claimed model; return whether there was a result to record."""
    hold, timing = RowHold.of(model), context.settings.timing
    log.info("inspection.started", model_id=model.id, attempt=model.attempt)
    try:
        with LeaseKeeper(context.database, INSPECTIONS, hold, timing) as lease:
            inspection = _inspect(ClaimedInspection(context, model, lease))
        _conclude(context, hold, inspection)
    except Interrupted:
        _release(context, hold)
    except (Crashed, FileNotFoundError, StoredBytesCorrupt) as error:
        _count_crash(context, hold, error)
    except (*OUTAGE, Unavailable, InsufficientStorage, OSError) as error:
        log.warning("inspection.postponed", model_id=model.id, error=type(error).__name__)
        _release(context, hold)
    except Exception as error:  # outermost handler: counted, so that repeated errors end it
        log.exception("inspection.failed", model_id=model.id)
        _count_crash(context, hold, error)
    else:
        return True
    return False


def _inspect(claimed: ClaimedInspection) -> Inspection:
    model, context = claimed.model, claimed.context
    if model.crashes >= MAX_CRASHES:
        return Inspection(
            refusal=INSPECTIONS.gave_up("workers were killed while they inspected it")
        )
    name = f"{model.id}-{model.attempt}"
    with private_directory(context.attempts_folder, name) as root:
        weights = root / "weights.pt"
        context.store.fetch(model.sha256, weights)
        claimed.check()
        return _run_inspector(claimed, weights, root)


def _run_inspector(claimed: ClaimedInspection, weights: Path, root: Path) -> Inspection:
    report, output_file = root / "report.json", root / "output.log"
    context = claimed.context
    memory = context.settings.worker.memory_limit_bytes or MEMORY_BYTES
    argv = [*context.inspector_argv, str(weights), str(report), str(memory)]
    environment = trainer_environment(root, gpu=None, base=os.environ)
    cage = context.cages.cage(environment, write=[root], program=context.inspector_argv)
    command = Command(argv, environment, root, root.name, cage=cage)
    with (
        output_file.open("wb") as output,
        context.starter.start(command, output, heavy=True, check=claimed.check) as process,
    ):
        exit_code = _wait(claimed, process)
    found = read_inspection(report)
    if exit_code != 0 or found is None:
        tail = tail_of_regular(output_file, most_bytes=MAX_LOGGED_BYTES)
        log.warning("inspection.crashed", exit_code=exit_code, output=tail)
        raise Crashed(f"the process that read it ended with {exit_code}")
    return found


def _wait(claimed: ClaimedInspection, process: RunningProcess) -> int:
    deadline = time.monotonic() + LONGEST_SECONDS
    while (exit_code := process.wait(POLL_SECONDS)) is None:
        claimed.check()
        if time.monotonic() > deadline:
            raise Crashed(f"it was not read within {LONGEST_SECONDS:.0f} seconds")
    return exit_code


def _conclude(context: WorkerContext, hold: RowHold, inspection: Inspection) -> None:
    found = inspection.found
    classes = tuple(shown(name, limit=MAX_CLASS_NAME) for name in found.classes) if found else ()
    refusal = shown(inspection.refusal or "It could not be read.", limit=MAX_REFUSAL)
    with context.database.write() as unit:
        if found is not None:
            kept = accept_model(
                unit.session, hold, Findings(found.task, found.architecture, classes)
            )
        else:
            kept = refuse_model(unit.session, hold, refusal)
    log.info(
        "inspection.finished",
        model_id=hold.row_id,
        kept=kept,
        refusal=inspection.refusal,
        parameters=found.parameters if found else None,
    )


def _count_crash(context: WorkerContext, hold: RowHold, error: Exception) -> None:
    reason = {
        FileNotFoundError: "its bytes are not in the store",
        StoredBytesCorrupt: "its stored bytes are damaged",
    }.get(type(error), str(error) if isinstance(error, Crashed) else type(error).__name__)
    log.warning("inspection.broken_off", model_id=hold.row_id, reason=reason)
    try:
        with context.database.write() as unit:
            record_crash(unit.session, hold, reason=reason)
    except OUTAGE as outage:  # the lease expires, which also counts as a crash
        log.warning("inspection.crash_not_recorded", error=first_line(outage))


def _release(context: WorkerContext, hold: RowHold) -> None:
    try:
        with context.database.write() as unit:
            released = INSPECTIONS.release(unit.session, hold)
    except OUTAGE as outage:
        log.warning("inspection.not_released", error=first_line(outage))
        return
    if released:
        log.info("inspection.released", model_id=hold.row_id)
