"""The verifier: a thread in every server process that verifies uploaded dataset versions.

It claims a version with a lease and starts the verification process
(`python -m app.datasets.verification`) to check the archive; the process dies with this thread.
Then it writes the verdict, guarded by the claim's attempt number. If the server is killed, the
lease expires, and the same or another server claims the version again.
"""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.core.background import Background
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE, Database
from app.core.errors import TrainyardError
from app.core.files import private_folder
from app.core.leased_rows import MAX_CRASHES, LeaseKeeper, RowHold
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject
from app.core.tasks import TASKS, Task
from app.datasets.archives.finding_codes import Code
from app.datasets.archives.report import (
    PACK_NAME,
    REPORT_NAME,
    ImportOptions,
    Report,
    VerificationRequest,
    invalid_report,
)
from app.datasets.repository import (
    VERIFICATIONS,
    awaits_verification,
    finish_verification,
    lock_dataset_of,
    ready_task,
    record_crash,
)
from app.datasets.tables import DatasetVersion, VersionState
from app.datasets.verification_process import COMMAND, Interrupted, ProcessEnd, run_process
from app.settings import Settings

log = get_logger(__name__)


class Crashed(Exception):
    """The verification process ended without a report."""


@dataclass(frozen=True)
class Verdict:
    """The report of the verification process and, if the version is valid, its stored pack."""

    report: Report
    pack: StoredObject | None


class Verifier(Background):
    """Verifies versions one after another in its own thread while its `with` block runs."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        super().__init__("verifier")
        self._database = database
        self._store = store
        self._timing = settings.timing
        self._spool = settings.home / "spool"
        self._command = tuple(command)
        self._waking = threading.Event()

    def _stop(self) -> None:
        super()._stop()
        self._waking.set()

    def wake(self) -> None:
        """Make the thread look for work now. Returns at once; called after an upload's commit."""
        self._waking.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._waking.clear()
            if not self._verify_waiting():
                self._stopping.wait(self._timing.reconcile_seconds)
            self._waking.wait(self._timing.reconcile_seconds)

    def _verify_waiting(self) -> bool:
        """Verify until no version waits. Return False if an error interrupts this."""
        try:
            while not self._stopping.is_set() and self.verify_next():
                pass
        except OUTAGE as error:
            log.warning("verification.database_unavailable", **_error_fields(error))
        except (TrainyardError, OSError) as error:
            log.warning("verification.storage_unavailable", **_error_fields(error))
        except Exception:  # outermost loop of the thread: without it, no upload is verified
            log.exception("verification.failed")
        else:
            return True
        return False

    def verify_next(self) -> bool:
        """Verify the oldest waiting version. Return False if no version waits.

        Raises:
            Exception: the database, the store or the disk failed; the version keeps waiting.
        """
        version = self._claim()
        if version is None:
            return False
        hold = RowHold.of(version)
        log.info("verification.started", version_id=version.id, attempt=version.attempt)
        crash_point(CrashPoint.VERIFICATION_CLAIMED)
        private_folder(self._spool)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="verify-", dir=self._spool) as directory,
                LeaseKeeper(self._database, VERIFICATIONS, hold, self._timing) as lease,
            ):
                verdict = self._check_archive(version, Path(directory), lease)
                crash_point(CrashPoint.VERIFICATION_JUDGED)
                self._conclude(hold, verdict)
        except Interrupted:
            self._release(hold)
        except (Crashed, FileNotFoundError, StoredBytesCorrupt, ValidationError) as error:
            self._count_crash(hold, error)
        except Exception:
            self._release(hold)
            raise
        return True

    def _claim(self) -> DatasetVersion | None:
        with self._database.read() as unit:
            if not awaits_verification(unit.session):
                return None
        with self._database.write() as unit:
            return VERIFICATIONS.claim(unit.session, lease=self._timing.lease)

    def _check_archive(
        self, version: DatasetVersion, directory: Path, lease: LeaseKeeper
    ) -> Verdict:
        if version.crashes >= MAX_CRASHES:
            reason = "servers were killed while they verified it"
            log.warning("verification.broken_off", version_id=version.id, cause=reason)
            return _failure(reason)
        archive, output = directory / "archive.zip", directory / "output"
        self._store.fetch(version.archive_sha256, archive)
        output.mkdir()
        request = VerificationRequest(
            archive=archive,
            output=output,
            options=ImportOptions.model_validate(
                {**(version.options or {}), "task": _task(version.declared_task)}
            ),
        )

        def interrupted(seconds: float) -> bool:
            return lease.is_lost or self._stopping.wait(seconds)

        ended = run_process(self._command, request, directory, interrupted=interrupted)
        return self._verdict(ended, output)

    def _verdict(self, ended: ProcessEnd, output: Path) -> Verdict:
        report = _report_in(output)
        if report is None:
            log.error("verification.crashed", exit_code=ended.exit_code, output=ended.output)
            raise Crashed(f"the verification process exited with {ended.exit_code}")
        pack = self._store.put_file(output / PACK_NAME) if report.state == "ready" else None
        return Verdict(report, pack)

    def _conclude(self, hold: RowHold, verdict: Verdict) -> None:
        with self._database.write() as unit:
            dataset = lock_dataset_of(unit.session, hold)
            present = ready_task(unit.session, dataset.id) if dataset else None
            values = columns_of(verdict, present_task=present)
            kept = finish_verification(unit.session, hold, values)
        state = values["state"] if kept else "fenced"
        log.info("verification.finished", version_id=hold.row_id, state=state)

    def _count_crash(self, hold: RowHold, error: Exception) -> None:
        log.warning("verification.broken_off", version_id=hold.row_id, cause=str(error))
        verdict = columns_of(_failure(str(error)), present_task=None)
        with self._database.write() as unit:
            crashes = record_crash(unit.session, hold, verdict=verdict)
        if crashes is not None and crashes >= MAX_CRASHES:
            log.info("verification.finished", version_id=hold.row_id, state=verdict["state"])

    def _release(self, hold: RowHold) -> None:
        with self._database.write() as unit:
            released = VERIFICATIONS.release(unit.session, hold)
        if released:
            log.info("verification.released", version_id=hold.row_id)


def _error_fields(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "cause": str(error)}


def _failure(reason: str) -> Verdict:
    return Verdict(invalid_report(Code.VERIFICATION_CRASHED, VERIFICATIONS.gave_up(reason)), None)


def columns_of(verdict: Verdict, *, present_task: str | None) -> dict[str, Any]:
    """Return the columns of a verified version.

    A valid version becomes invalid if its task is not that of the dataset's ready versions.
    """
    report, pack = verdict.report, verdict.pack
    if pack is not None and present_task not in {None, report.task}:
        message = f"The labels are for {report.task}, the dataset is for {present_task}."
        report, pack = invalid_report(Code.TASK_MISMATCH, message), None
    return {
        "state": VersionState(report.state),
        "task": report.task,
        "manifest_digest": report.manifest_digest,
        "pack_sha256": pack.sha256 if pack else None,
        "pack_bytes": pack.size_bytes if pack else None,
        "classes": report.classes,
        "images": {split: summary.images for split, summary in report.splits.items()},
        "report": report.model_dump(mode="json", exclude={"training"}),
        "training_facts": report.training.model_dump(mode="json") if report.training else None,
    }


def _report_in(output: Path) -> Report | None:
    try:
        return Report.model_validate_json((output / REPORT_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def _task(declared: str | None) -> Task | None:
    return next((task for task in TASKS if task == declared), None)
