"""The verifier: threads in every server process that verify uploaded dataset versions.

A thread claims a version with a lease and starts the verification process
(`python -m app.datasets.verification`) to check the archive; the process dies with its thread.
Then it writes the verdict, guarded by the claim's attempt number. If the server is killed, the
lease expires, and the same or another server claims the version again.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from app.core.background import Background
from app.core.cage.plan import CagePlan
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE, Database
from app.core.errors import TrainyardError
from app.core.files import private_folder
from app.core.free_space import DiskReserve
from app.core.guarded_files import FileRefused, read_regular, temporary_folder
from app.core.leased_rows import MAX_CRASHES, LeaseKeeper, RowHold
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.core.tasks import TASKS, Task
from app.datasets.packs.manifest import ManifestCorruptError
from app.datasets.packs.pack import PackCorruptError
from app.datasets.packs.progress import WRITE_SECONDS, VerificationProgress, read_progress
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import MAX_FINDINGS_PER_CODE
from app.datasets.reports.overview import OVERVIEW_NAME
from app.datasets.reports.report import (
    FINDINGS_NAME,
    REPORT_NAME,
    ImportOptions,
    Report,
    VerificationRequest,
    invalid_report,
)
from app.datasets.repository import ready_task
from app.datasets.stored.inputs import Inputs, InputsReader
from app.datasets.stored.keep import FilesKeeper, KeptFiles
from app.datasets.stored.repository import link_packs
from app.datasets.tables import DatasetVersion, VersionState
from app.datasets.verdicts import Verdict, columns_of
from app.datasets.verification_process import COMMAND, Interrupted, run_process
from app.datasets.verification_queue import (
    VERIFICATIONS,
    awaits_verification,
    claim_next_version,
    finish_verification,
    lock_dataset_of,
    record_crash,
)
from app.quotas.repository import add_verifier_seconds
from app.settings import Settings

log = get_logger(__name__)


class Crashed(Exception):
    """The verification process ended without a report."""


CRASHES: Final = (
    Crashed,
    FileNotFoundError,
    FileRefused,
    ManifestCorruptError,
    PackCorruptError,
    StoredBytesCorrupt,
    ValidationError,
)
"""Faults that another try would meet again."""

SMALL_ARCHIVE_BYTES: Final = 1024 * 1024 * 1024
"""The last free thread takes no larger archive, so that a small one waits for no large ones."""


MAX_REPORT_BYTES: Final = 256 * 1024 * 1024

_STARTED: Final = VerificationProgress(step="reading", done=0)
_STORING: Final = VerificationProgress(step="storing", done=0)


class _Reporting:
    """Passes the progress of a process to the lease, which writes it to the row."""

    def __init__(self, output: Path, lease: LeaseKeeper) -> None:
        self._output = output
        self._lease = lease
        self._looked_at = time.monotonic()
        self._last = _STARTED

    def look(self) -> None:
        """Look for progress, at most once in `WRITE_SECONDS`."""
        if time.monotonic() - self._looked_at < WRITE_SECONDS:
            return
        self._looked_at = time.monotonic()
        progress = read_progress(self._output)
        if progress is not None and progress != self._last:
            self._last = progress
            self._lease.note(progress=progress.model_dump())


class Verifier(Background):
    """Verifies versions in its own threads while its `with` block runs, several at once.

    One free thread at a time looks for work. When it has claimed a version, the next one looks, so
    that the database is asked equally often however many threads are free.
    """

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._processes = settings.verification.effective_processes
        super().__init__("verifier", threads=self._processes)
        self._database = database
        self._store = store
        self._timing = settings.timing
        self._spool = settings.home / "spool"
        self._command = tuple(command)
        self._cages = CagePlan.of_verifier(settings)
        self._disk = DiskReserve.of(settings, store)
        self._waking = threading.Event()
        self._looking = threading.Lock()
        self._verifying: set[int] = set()

    def _stop(self) -> None:
        super()._stop()
        self._waking.set()

    def wake(self) -> None:
        """Make a thread look for work now. Returns at once; called after an upload's commit."""
        self._waking.set()

    def _run(self) -> None:
        while (version := self._wait_for_version()) is not None:
            try:
                with self._failures_logged():
                    self._verify(version)
            finally:
                self._verifying.discard(threading.get_ident())
                self.wake()  # a thread that was the last free one may now take a large archive

    def _wait_for_version(self) -> DatasetVersion | None:
        """Wait for a version and claim it. Return None if the server is stopping."""
        with self._looking:
            while not self._stopping.is_set():
                self._waking.clear()
                with self._failures_logged():
                    version = self._claim(max_bytes=self._max_bytes())
                    if version is not None:
                        self._verifying.add(threading.get_ident())
                        return version
                self._waking.wait(self._timing.reconcile_seconds)
        return None

    def _max_bytes(self) -> int | None:
        """Return the size of the largest archive that may be claimed now; None is any size."""
        is_last = len(self._verifying) >= self._processes - 1
        return SMALL_ARCHIVE_BYTES if is_last and self._processes > 1 else None

    @contextmanager
    def _failures_logged(self) -> Iterator[None]:
        """Log what fails in the block, and wait before the thread goes on."""
        try:
            yield
        except OUTAGE as error:
            log.warning("verification.database_unavailable", **_error_fields(error))
        except (TrainyardError, OSError) as error:
            log.warning("verification.storage_unavailable", **_error_fields(error))
        except Exception:  # outermost loop of the thread: without it, no upload is verified
            log.exception("verification.failed")
        else:
            return
        self._stopping.wait(self._timing.reconcile_seconds)

    def verify_next(self) -> bool:
        """Verify the next version in this thread. Return False if no version waits.

        Raises:
            Exception: the database, the store or the disk failed; the version keeps waiting.
        """
        version = self._claim()
        if version is None:
            return False
        self._verify(version)
        return True

    def _verify(self, version: DatasetVersion) -> None:
        hold = RowHold.of(version)
        log.info("verification.started", version_id=version.id, attempt=version.attempt)
        crash_point(CrashPoint.VERIFICATION_CLAIMED)
        private_folder(self._spool)
        try:
            with (
                temporary_folder(self._spool, "verify-") as directory,
                LeaseKeeper(self._database, VERIFICATIONS, hold, self._timing) as lease,
            ):
                verdict = self._check_archive(version, directory, lease)
                crash_point(CrashPoint.VERIFICATION_JUDGED)
                lease.end()
                self._conclude(hold, verdict)
        except Interrupted:
            self._release(hold)
        except CRASHES as error:
            self._count_crash(hold, error)
        except IntegrityError:
            # A pack with files of this version was removed meanwhile; the next try stores them.
            log.warning("verification.pack_removed", version_id=version.id)
            self._release(hold)
        except Exception:
            self._release(hold)
            raise

    def _claim(self, *, max_bytes: int | None = None) -> DatasetVersion | None:
        if self._disk.is_reached():
            return None
        with self._database.read() as unit:
            if not awaits_verification(unit.session, max_bytes=max_bytes):
                return None
        with self._database.write() as unit:
            lease = self._timing.lease
            return claim_next_version(unit.session, lease=lease, max_bytes=max_bytes)

    def _check_archive(
        self, version: DatasetVersion, directory: Path, lease: LeaseKeeper
    ) -> Verdict:
        if version.crashes >= MAX_CRASHES:
            reason = "servers were killed while they verified it"
            log.warning("verification.broken_off", version_id=version.id, cause=reason)
            return _failure(reason)
        lease.note(progress=_STARTED.model_dump())
        output = directory / "output"
        reporting = _Reporting(output, lease)

        def interrupted(seconds: float) -> bool:
            reporting.look()
            return lease.is_lost or self._stopping.wait(seconds)

        def check() -> None:
            if interrupted(0):
                raise Interrupted

        inputs = InputsReader(self._database, self._store, directory, check).read(version)
        output.mkdir()
        ended = run_process(
            self._command,
            _request(version, inputs, output),
            directory,
            cages=self._cages,
            read=inputs.packs,
            interrupted=interrupted,
        )
        self._charge(inputs, ended.cpu_seconds)
        lease.note(progress=_STORING.model_dump())
        report = _report_in(output)
        if report is None:
            log.error("verification.crashed", exit_code=ended.exit_code, output=ended.output)
            raise Crashed(f"the verification process exited with {ended.exit_code}")
        if Code.VERIFICATION_CRASHED in report.finding_totals:
            log.error("verification.failed_at_a_file", version_id=version.id, output=ended.output)
        # Packs first: what is stored before them would wait long for the row that references it.
        files = self._kept(report, inputs, output) if report.state == "ready" else None
        overview = None if files is None else self._store.put_file(output / OVERVIEW_NAME)
        findings = None
        if _omits_findings(report) and (output / FINDINGS_NAME).is_file():
            findings = self._store.put_file(output / FINDINGS_NAME)
        return Verdict(report, files, overview, findings)

    def _charge(self, inputs: Inputs, seconds: float) -> None:
        """Count the processor time, whatever the verdict, and also if there is none."""
        with self._database.write() as unit:
            add_verifier_seconds(unit.session, (inputs.project_id, inputs.owner_id), seconds)

    def _kept(self, report: Report, inputs: Inputs, output: Path) -> KeptFiles:
        keeper = FilesKeeper(self._database, self._store, inputs.project_id)
        files = keeper.keep(output, inputs.pack_ids)
        if files.manifest.sha256 != report.manifest_digest:
            raise Crashed("the verification process wrote another manifest than it reported")
        return files

    def _conclude(self, hold: RowHold, verdict: Verdict) -> None:
        with self._database.write() as unit:
            dataset = lock_dataset_of(unit.session, hold)
            present = ready_task(unit.session, dataset.id) if dataset else None
            values = columns_of(verdict, present_task=present)
            kept = finish_verification(unit.session, hold, values)
            if kept and verdict.files is not None and values["state"] is VersionState.READY:
                link_packs(unit.session, hold.row_id, verdict.files.pack_ids)
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


def _request(version: DatasetVersion, inputs: Inputs, output: Path) -> VerificationRequest:
    options = {**(version.options or {}), "task": _task(version.declared_task)}
    return VerificationRequest(
        archive=inputs.archive,
        assembly=inputs.assembly,
        is_listing=inputs.is_listing,
        previous=inputs.previous,
        output=output,
        options=ImportOptions.model_validate(options),
    )


def _error_fields(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "cause": str(error)}


def _failure(reason: str) -> Verdict:
    return Verdict(invalid_report(Code.VERIFICATION_CRASHED, VERIFICATIONS.gave_up(reason)))


def _omits_findings(report: Report) -> bool:
    return any(count > MAX_FINDINGS_PER_CODE for count in report.finding_totals.values())


def _report_in(output: Path) -> Report | None:
    try:
        content = read_regular(output / REPORT_NAME, most_bytes=MAX_REPORT_BYTES)
        return Report.model_validate_json(content)
    except (OSError, FileRefused, ValidationError):
        return None


def _task(declared: str | None) -> Task | None:
    return next((task for task in TASKS if task == declared), None)
