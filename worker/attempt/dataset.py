"""Bring a job's dataset to its trainer: cached, scanned, and with arrays if the job wants them.

Scan and arrays are made by a process of the worker, once per version and node. A trainer that reads
a scan shares the folder of the version; any other gets a folder of links, since Ultralytics then
writes beside the files that it reads. No process but the worker writes to the version: what the
process makes and repairs is in a folder of the attempt, and the worker moves it.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from app.core.guarded_files import remove_tree, tail_of_regular
from app.core.logging import get_logger
from app.core.storage import StoredBytesCorrupt
from app.datasets.packs.extract import materialise_view
from app.datasets.packs.manifest import ManifestCorruptError
from app.datasets.packs.pack import PackCorruptError
from app.datasets.stored.keep import in_batches
from app.datasets.stored.repository import DIGESTS_AT_ONCE, StoredFile, files_of_version
from app.datasets.tables import DatasetVersion, VersionState
from app.jobs.end_reasons import EndReason
from worker.attempt.claimed import AttemptFailed, ClaimedAttempt
from worker.dataset_cache.cache import DatasetCache
from worker.dataset_cache.entry import DATASET, CachedVersion, take_file
from worker.dataset_cache.prepared import Maker, PreparedData, PreparedFile
from worker.dataset_cache.sources import ManifestAndPacks, VersionSource, WholePack
from worker.processes.process import Command
from worker.trainer.datasets.requests import (
    ArraysReport,
    PreparationRequest,
    ScanReport,
    deciding_packages,
    read_report,
)
from worker.trainer.environment import trainer_environment
from worker.trainer.null_trainer import is_null_trainer
from worker.trainer.protocol import DatasetScan, ProtocolModel

POLL_SECONDS: Final = 0.05
MAX_LOGGED_BYTES: Final = 2000
NO_ROOM: Final = (
    "they need {needed:.1f} GB, and the dataset cache of the worker "
    "(dataset_cache_bytes) or its disk has no room for them."
)
NOT_MADE: Final = "the worker could not make them; its log has the reason."

IN_USE: Final = "another job uses arrays that have to be made again."
DAMAGED: Final = (FileNotFoundError, StoredBytesCorrupt, PackCorruptError, ManifestCorruptError)

Report = TypeVar("Report", bound=ProtocolModel)

log = get_logger(__name__)


@dataclass(frozen=True)
class BroughtDataset:
    """What the job file says about the dataset: see `JobFile`.

    `version` is the folder of the cached version; all that the job reads of it is below.
    """

    path: Path
    version: Path
    scan: DatasetScan | None = None
    without_arrays: str | None = None


def bring_dataset(attempt: ClaimedAttempt, layers: ExitStack) -> BroughtDataset:
    """Bring the job's dataset; it stays until `layers` end.

    Raises:
        AttemptFailed: the dataset is missing or damaged.
        LeaveRequested, LeaseLost: the attempt must not continue.
    """
    source = _source(attempt)
    try:
        cached = attempt.context.datasets.entry(source, check=attempt.check)
        version = layers.enter_context(cached)
    except DAMAGED as error:
        raise AttemptFailed(
            EndReason.BAD_DATA, f"The stored dataset {source.key[:12]}… is missing or damaged."
        ) from error
    if is_null_trainer(attempt.spec):
        return BroughtDataset(version.files, version.folder)
    brought = _Preparation(attempt, version, layers).brought()
    if brought.scan is None:
        materialise_view(brought.path, attempt.directory.dataset)
        return replace(brought, path=attempt.directory.dataset)
    return brought


def stored_digest(attempt: ClaimedAttempt) -> str:
    """Return the digest of the manifest of the job's dataset, or of its pack; see `_source`.

    Raises:
        AttemptFailed: the version is not ready.
    """
    return _source(attempt).key


def _source(attempt: ClaimedAttempt) -> VersionSource:
    context, version = attempt.context, _version(attempt)
    if version.manifest_bytes is None:  # of an earlier release
        return WholePack(context.store, version.pack_sha256 or "")

    def places(digests: list[str]) -> Mapping[str, StoredFile]:
        found: dict[str, StoredFile] = {}
        for batch in in_batches(digests, DIGESTS_AT_ONCE):
            with context.database.read() as unit:
                found |= files_of_version(unit.session, version.id, batch)
        return found

    return ManifestAndPacks(context.store, version.manifest_digest or "", places)


def _version(attempt: ClaimedAttempt) -> DatasetVersion:
    with attempt.context.database.read() as unit:
        version = unit.session.get(DatasetVersion, attempt.job.dataset_version_id)
    if version is None or version.state is not VersionState.READY:
        raise AttemptFailed(
            EndReason.BAD_DATA, f"{attempt.job.dataset_version_id} is not a ready version."
        )
    return version


@dataclass(frozen=True)
class _Preparation:
    """Prepares a cached version for one attempt, as far as no earlier attempt has."""

    attempt: ClaimedAttempt
    version: CachedVersion
    layers: ExitStack

    def brought(self) -> BroughtDataset:
        """Return the folder to train on, with the scan of it, if the trainer can read one."""
        spec, maker = self.attempt.spec, deciding_packages()
        wants_arrays = spec.train.cache == "disk"
        if spec.trainer is not None and not wants_arrays:
            return BroughtDataset(self.version.files, self.version.folder)
        with self._cache.preparing(self.version.key, check=self.attempt.check):
            scan = self._prepared.scan(self._scan_name, maker) or self._make_scan(maker)
            why = self._without_arrays(scan, maker) if wants_arrays else None
        folder = self._prepared.with_arrays if wants_arrays and why is None else self.version.files
        if scan is None or spec.trainer is not None:  # a plugin may verify images in its own way
            return BroughtDataset(folder, self.version.folder, None, why)
        found = DatasetScan(path=scan.path, sha256=scan.sha256)
        return BroughtDataset(folder, self.version.folder, found, why)

    @property
    def _cache(self) -> DatasetCache:
        return self.attempt.context.datasets

    @property
    def _prepared(self) -> PreparedData:
        return PreparedData(self.version)

    @property
    def _scan_name(self) -> str:
        spec = self.attempt.spec
        return f"{spec.task}-single" if spec.train.single_cls else spec.task

    def _make_scan(self, maker: Maker) -> PreparedFile | None:
        name, folder = self._scan_name, self._folder_of("scan")
        view, output = folder / DATASET, folder / "scan.npz"
        materialise_view(self.version.files, view)
        report = self._run("scan", view, ScanReport, output=output)
        if report is None:
            return None
        take_file(output, self._prepared.scan_file(name))
        self.version.take_repaired(view)  # Ultralytics repairs JPEG files when it scans
        remove_tree(folder)
        size = report.array_bytes
        self._prepared.note_scan(name, maker, sha256=report.sha256, array_bytes=size)
        log.info("dataset_cache.scanned", digest=self.version.key, images=report.images)
        return self._prepared.scan(name, maker)

    def _without_arrays(self, scan: PreparedFile | None, maker: Maker) -> str | None:
        """Keep the arrays for the attempt, and make them if needed; return why there are none."""
        if not self._prepared.has_arrays(maker):
            with self._cache.replacing_arrays(self.version.key) as is_alone:
                why = self._make_arrays(scan, maker) if is_alone else IN_USE
            if why is not None:
                return why
        self.layers.enter_context(self._cache.using_arrays(self.version.key))
        return None

    def _make_arrays(self, scan: PreparedFile | None, maker: Maker) -> str | None:
        if scan is None:
            return NOT_MADE
        if not self._cache.has_room_for(scan.array_bytes):
            return NO_ROOM.format(needed=scan.array_bytes / 1e9)
        folder = self._prepared.make_folder_for_arrays()
        report = self._run("arrays", folder, ArraysReport)
        if report is None:
            self._prepared.remove_arrays()
            return NOT_MADE
        self._prepared.note_arrays(maker, sha256=report.sha256)
        log.info("dataset_cache.arrays_made", digest=self.version.key, bytes=report.array_bytes)
        return None

    def _folder_of(self, make: str) -> Path:
        """Return the folder that the process writes to, besides that of the arrays."""
        folder = self.attempt.directory.root / f"prepare-{make}"
        folder.mkdir(exist_ok=True)
        return folder

    def _run(
        self, make: str, dataset: Path, kind: type[Report], *, output: Path | None = None
    ) -> Report | None:
        """Run the process that prepares; return its report, or None if it failed."""
        attempt, root = self.attempt, self._folder_of(make)
        request = PreparationRequest.model_validate(
            {
                "make": make,
                "dataset": dataset,
                "task": attempt.spec.task,
                "single_cls": attempt.spec.train.single_cls,
                "output": output,
                "report": root / "report.json",
                "threads": os.cpu_count() or 1,
                "memory_limit_bytes": attempt.memory_limit_bytes,
            }
        )
        order = root / "request.json"
        order.write_text(request.model_dump_json(), encoding="utf-8")
        environment = trainer_environment(root, gpu=None, base=os.environ)
        program = attempt.context.preparer_argv
        cage = attempt.context.cages.cage(
            environment, read=[self.version.files], write=[root, dataset], program=program
        )
        argv = [*program, str(order)]
        command = Command(argv, environment, root, attempt.directory.attempt, cage=cage)
        log_file = root / "output.log"
        starter = attempt.context.starter
        with (
            log_file.open("wb") as written,
            starter.start(command, written, heavy=True, check=attempt.check) as process,
        ):
            while (exit_code := process.wait(POLL_SECONDS)) is None:
                attempt.check()
        report = read_report(request.report, kind)
        if exit_code == 0 and report is not None:
            return report
        tail = tail_of_regular(log_file, most_bytes=MAX_LOGGED_BYTES)
        log.warning("dataset_cache.not_prepared", make=make, exit_code=exit_code, output=tail)
        return None
