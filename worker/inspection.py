"""What a slot does for weights that somebody brought in: claim, have a trainer process look, tell.

A message that comes twice, late or for a model that is gone changes nothing: the claim decides.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.database import OUTAGE
from app.core.errors import InsufficientStorage, Unavailable
from app.core.leased_rows import MAX_CRASHES, LeaseKeeper, RowHold
from app.core.logging import first_line, get_logger
from app.core.storage import StoredBytesCorrupt
from app.models.inspection import (
    INSPECTIONS,
    Findings,
    accept_model,
    record_crash,
    refuse_model,
)
from app.models.tables import Model
from worker.attempt.directory import private_directory
from worker.attempt.process import AttemptProcess, Command
from worker.context import WorkerContext
from worker.trainer.environment import trainer_environment
from worker.trainer.weights.inspection import Inspection, read_inspection

LONGEST_SECONDS: Final = 300.0
"""Of one inspection; importing torch without bytecode takes half a minute."""
MEMORY_BYTES: Final = 16 * 1024**3
"""Address space where the operator set none; torch alone maps several GiB."""
POLL_SECONDS: Final = 0.05
MAX_LOGGED_CHARACTERS: Final = 2000

log = get_logger(__name__)


class Crashed(Exception):
    """The inspection ended without a verdict; the text is a part of a sentence."""


class Interrupted(Exception):
    """The worker ends, or somebody else may inspect the model by now."""


@dataclass(frozen=True)
class ClaimedInspection:
    """A claimed model and its lease."""

    context: WorkerContext
    model: Model
    lease: LeaseKeeper

    def check(self) -> None:
        """Go on only while the inspection is wanted.

        Raises:
            Interrupted: it is not.
        """
        if self.lease.is_lost or self.context.leaving.is_set():
            raise Interrupted


def inspect_models(context: WorkerContext, *, rung_for: str | None = None) -> None:
    """Inspect the model that was rung for, or else the oldest, until none waits.

    One that breaks off is left to the next bell, which another slot may hear.
    """
    while not context.leaving.is_set():
        model = _claim(context, rung_for)
        if model is None or not _inspect_claimed(context, model):
            return
        rung_for = None


def _claim(context: WorkerContext, rung_for: str | None) -> Model | None:
    try:
        with context.database.write() as unit:
            return INSPECTIONS.claim(unit.session, lease=context.lease_length, rung_for=rung_for)
    except OUTAGE as error:
        log.warning("inspection.not_claimed", error=first_line(error))
        return None


def _inspect_claimed(context: WorkerContext, model: Model) -> bool:
    """Return whether the model is done with."""
    hold, timing = RowHold.of(model), context.settings.timing
    log.info("inspection.started", model_id=model.id, attempt=model.attempt)
    try:
        with LeaseKeeper(context.database, INSPECTIONS, hold, timing) as lease:
            said = _look(ClaimedInspection(context, model, lease))
        _conclude(context, hold, said)
    except Interrupted:
        _release(context, hold)
    except (Crashed, FileNotFoundError, StoredBytesCorrupt) as error:
        _count_crash(context, hold, error)
    except (*OUTAGE, Unavailable, InsufficientStorage, OSError) as error:
        log.warning("inspection.postponed", model_id=model.id, error=type(error).__name__)
        _release(context, hold)
    except Exception as error:  # the outermost line: whatever it was, it ends after a few times
        log.exception("inspection.failed", model_id=model.id)
        _count_crash(context, hold, error)
    else:
        return True
    return False


def _look(claimed: ClaimedInspection) -> Inspection:
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
        return _ask(claimed, weights, root)


def _ask(claimed: ClaimedInspection, weights: Path, root: Path) -> Inspection:
    report, said = root / "report.json", root / "said.log"
    context = claimed.context
    memory = context.settings.worker.memory_limit_bytes or MEMORY_BYTES
    command = Command(
        [*context.inspector_argv, str(weights), str(report), str(memory)],
        trainer_environment(root, gpu=None, base=os.environ),
        root,
        root.name,
    )
    with said.open("wb") as output, AttemptProcess(command, output) as process:
        exit_code = _wait(claimed, process)
    found = read_inspection(report)
    if exit_code != 0 or found is None:
        words = said.read_text(errors="replace")[-MAX_LOGGED_CHARACTERS:]
        log.warning("inspection.crashed", exit_code=exit_code, said=words)
        raise Crashed(f"the process that read it ended with {exit_code}")
    return found


def _wait(claimed: ClaimedInspection, process: AttemptProcess) -> int:
    deadline = time.monotonic() + LONGEST_SECONDS
    while (exit_code := process.wait(POLL_SECONDS)) is None:
        claimed.check()
        if time.monotonic() > deadline:
            raise Crashed(f"it was not read within {LONGEST_SECONDS:.0f} seconds")
    return exit_code


def _conclude(context: WorkerContext, hold: RowHold, said: Inspection) -> None:
    with context.database.write() as unit:
        if said.found is not None:
            kept = accept_model(
                unit.session,
                hold,
                Findings(said.found.task, said.found.architecture, said.found.classes),
            )
        else:
            kept = refuse_model(unit.session, hold, said.refusal or "It could not be read.")
    log.info(
        "inspection.finished",
        model_id=hold.row_id,
        kept=kept,
        refusal=said.refusal,
        parameters=said.found.parameters if said.found else None,
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
    except OUTAGE as outage:  # the lease runs out, which counts the same
        log.warning("inspection.not_written", error=first_line(outage))


def _release(context: WorkerContext, hold: RowHold) -> None:
    try:
        with context.database.write() as unit:
            released = INSPECTIONS.release(unit.session, hold)
    except OUTAGE as outage:
        log.warning("inspection.not_released", error=first_line(outage))
        return
    if released:
        log.info("inspection.released", model_id=hold.row_id)
