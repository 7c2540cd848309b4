"""The fact reader: a thread in every server that reads what an earlier release did not record.

Versions that an earlier release verified have no training facts, or no manifest in the store. The
thread reads them once from the pack, in the verification process. Any number of servers may read
the same pack: the first answer is stored, and it is the same for all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from app.core.background import Background
from app.core.cage.plan import CagePlan
from app.core.database import OUTAGE, Database
from app.core.errors import TrainyardError
from app.core.files import private_folder
from app.core.guarded_files import FileRefused, read_regular, temporary_folder
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject, local_file
from app.core.tasks import TASKS
from app.datasets.reports.report import FACTS_NAME, PackRequest, TrainingFacts
from app.datasets.repository import record_facts, version_without_facts
from app.datasets.stored.keep import FilesKeeper
from app.datasets.stored.repository import link_packs, record_manifest
from app.datasets.tables import Dataset, DatasetVersion
from app.datasets.verification_process import COMMAND, Interrupted, run_process
from app.settings import Settings

MAX_FACTS_BYTES: Final = 256 * 1024 * 1024

log = get_logger(__name__)

PERIOD_SECONDS: Final = 3600.0
"""An earlier release may still run beside this server and verify another version."""


class FactReader(Background):
    """Reads missing training facts in its own thread while its `with` block runs.

    A pack that cannot be read is tried again after an hour. Its version stays usable: the trainer
    then refuses what the server could have refused.
    """

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        super().__init__("fact reader")
        self._database = database
        self._store = store
        self._spool = settings.home / "spool"
        self._retry_seconds = settings.timing.reconcile_seconds
        self._command = tuple(command)
        self._cages = CagePlan.of_verifier(settings)
        self._unreadable: set[str] = set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            is_done = self._read_all()
            if is_done:
                self._unreadable.clear()
            self._stopping.wait(PERIOD_SECONDS if is_done else self._retry_seconds)

    def _read_all(self) -> bool:
        """Read until no version lacks its facts. Return False if an outage interrupts this."""
        try:
            while not self._stopping.is_set() and self.read_next():
                pass
        except Interrupted:
            return True
        except OUTAGE as error:
            log.warning("facts.database_unavailable", error=type(error).__name__)
        except OSError as error:
            log.warning("facts.disk_unavailable", error=type(error).__name__)
        except Exception:  # outermost loop of the thread
            log.exception("facts.failed")
        else:
            return True
        return False

    def read_next(self) -> bool:
        """Read the facts of one version. Return False if no version lacks them.

        Raises:
            Interrupted: the server is stopping.
            Exception: the database or the disk failed.
        """
        with self._database.read() as unit:
            version = version_without_facts(unit.session, except_for=self._unreadable)
        if version is None:
            return False
        private_folder(self._spool)
        with temporary_folder(self._spool, "facts-") as output:
            facts = self._facts_of(version, output)
            if facts is None:
                self._unreadable.add(version.id)
                return True
            self._record(version, facts, output)
        log.info("facts.read", version_id=version.id)
        return True

    def _record(self, version: DatasetVersion, facts: TrainingFacts, output: Path) -> None:
        with self._database.read() as unit:
            dataset = unit.session.get(Dataset, version.dataset_id)
        if dataset is None:
            return  # deleted meanwhile, with its versions
        keeper = FilesKeeper(self._database, self._store, dataset.project_id)
        pack = StoredObject(version.pack_sha256 or "", version.pack_bytes or 0)
        files = keeper.adopt(output, pack)
        with self._database.write() as unit:
            record_facts(unit.session, version.id, facts.model_dump(mode="json"))
            if record_manifest(unit.session, version.id, files.manifest):
                link_packs(unit.session, version.id, files.pack_ids)

    def _facts_of(self, version: DatasetVersion, directory: Path) -> TrainingFacts | None:
        """Return the facts, or None if the pack cannot be read."""
        task = next(task for task in TASKS if task == version.task)
        try:
            pack = self._pack_of(version.pack_sha256 or "", directory)
        except (FileNotFoundError, TrainyardError, StoredBytesCorrupt) as error:
            _log_unreadable(version, cause=str(error))
            return None
        request = PackRequest(pack=pack, output=directory, task=task)
        ended = run_process(
            self._command,
            request,
            directory,
            cages=self._cages,
            read=[pack],
            interrupted=self._stopping.wait,
        )
        if ended.exit_code != 0:
            _log_unreadable(version, cause=ended.output)
            return None
        try:
            content = read_regular(directory / FACTS_NAME, most_bytes=MAX_FACTS_BYTES)
            return TrainingFacts.model_validate_json(content)
        except (FileNotFoundError, FileRefused, ValidationError) as error:
            _log_unreadable(version, cause=str(error))
            return None

    def _pack_of(self, sha256: str, directory: Path) -> Path:
        """Return the pack's file in a local store, or fetch it: packs can be large."""
        stored = local_file(self._store, sha256)
        if stored is None:
            stored = directory / "pack.zip"
            self._store.fetch(sha256, stored, check=self._check)
        return stored

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Interrupted


def _log_unreadable(version: DatasetVersion, *, cause: str) -> None:
    log.warning("facts.pack_unreadable", version_id=version.id, cause=cause)
