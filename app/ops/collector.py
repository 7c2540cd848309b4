"""The collector: removes unneeded rows, bytes and files, in every server process and by command.

Any number of collectors can run at once: each step is bounded, checks again in the transaction that
acts, and can be killed at any point. Requests never wait for it.
"""

import math
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import func, select

from app.artifacts.tables import CondemnedObject
from app.core.background import Background
from app.core.database import OUTAGE, Database, database_now
from app.core.errors import TrainyardError
from app.core.guarded_files import entries_below, remove_tree
from app.core.logging import get_logger
from app.core.storage import ArtifactStore
from app.core.stored_objects import aside_objects, stored_digests, unfinished_files
from app.datasets.stored.repository import delete_unused_packs, unused_packs
from app.fleet.repository import count_forgotten, forget_workers
from app.jobs.tables import Job
from app.ops.garbage import (
    AT_ONCE,
    READER_GRACE,
    conclude_aside,
    condemn_orphans,
    due_aside,
    orphans,
    set_due_objects_aside,
)
from app.ops.list_columns import complete_list_columns
from app.ops.recount import repair_counters
from app.ops.retention import (
    UploadRetention,
    count_expired_rows,
    count_expired_uploads,
    count_outdated_states,
    count_unused_uploads,
    delete_expired_rows,
    delete_expired_uploads,
    drop_outdated_state,
    jobs_with_outdated_states,
    purge_job,
    remove_unused_uploads,
    trashed_jobs,
    unfinished_among,
)
from app.settings import Settings
from app.uploads.spool import UploadSpool

log = get_logger(__name__)

Item = TypeVar("Item")

JOBS_AT_ONCE: Final = 100
WORKERS_AT_ONCE: Final = 100
SWEEPS_PER_GRACE: Final = 4
SHORTEST_LEFTOVER: Final = timedelta(hours=1)
"""The minimum age of leftovers, even if the grace is shorter: no process writes them any more."""


@dataclass(frozen=True)
class Collected:
    """The numbers of removed items, or of items that a dry run would remove."""

    trashed_jobs: int = 0
    training_states: int = 0
    uploads: int = 0
    expired_rows: int = 0
    unused_packs: int = 0
    expired_uploads: int = 0
    forgotten_workers: int = 0
    orphans_condemned: int = 0
    objects_set_aside: int = 0
    objects_put_back: int = 0
    objects_erased: int = 0
    leftover_files: int = 0

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(asdict(self).items())


class Collector(Background):
    """Collects in its own thread while its `with` block runs; `collect` collects once.

    Args:
        database: its rows determine which objects are needed.
        store: the store to remove objects from.
        settings: the grace times, the period, and the home whose spool is cleaned.
        hold: how long an object stays aside before it is erased.
    """

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        *,
        hold: timedelta = READER_GRACE,
    ) -> None:
        super().__init__("collector")
        self._database = database
        self._store = store
        self._grace = timedelta(hours=settings.garbage.grace_hours)
        self._trash = settings.trash_grace
        self._keep_state = timedelta(days=settings.keep_state_days)
        self._retention = UploadRetention(
            ready=timedelta(days=settings.retention.upload_days),
            invalid=timedelta(days=settings.retention.invalid_upload_days),
        )
        self._forget_workers_after = timedelta(days=settings.retention.worker_days)
        self._period = settings.garbage.period_seconds
        self._spool = settings.home / "spool"
        self._uploads = UploadSpool(settings.home)
        self._hold = hold
        self._sweep_at = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.wait(self._period):
            try:
                self._collect_in_turn()
            except OUTAGE as error:
                log.warning("garbage.database_unavailable", error=type(error).__name__)
            except (TrainyardError, OSError) as error:
                log.warning("garbage.storage_unavailable", error=type(error).__name__)
            except Exception:  # outermost loop of the thread: without it, disks fill up
                log.exception("garbage.failed")

    def _collect_in_turn(self) -> None:
        """Collect; list the whole store, which is slow, only `SWEEPS_PER_GRACE` times per grace."""
        is_sweep = time.monotonic() >= self._sweep_at
        collected = self.collect() if is_sweep else self._collect_known()
        if is_sweep:
            repair_counters(self._database)
            complete_list_columns(self._database)
            self._sweep_at = time.monotonic() + self._grace.total_seconds() / SWEEPS_PER_GRACE
        if any(count for _, count in collected):
            log.info("garbage.collected", **asdict(collected))

    def collect(self) -> Collected:
        """Remove everything that is due now, after a search of the whole store.

        Raises:
            Unavailable: the store is unreachable.
            sqlalchemy.exc.SQLAlchemyError: the database is unreachable.
        """
        condemned = sum(
            condemn_orphans(self._database, page, grace=self._grace)
            for page in self._until_stopped(stored_digests(self._store))
        )
        leftovers = self._leftovers()
        for path in leftovers:
            _remove(path)
        known = self._collect_known()
        return replace(known, orphans_condemned=condemned, leftover_files=len(leftovers))

    def dry_run(self) -> Collected:
        """Return what `collect` would remove now, without removing anything."""
        with self._database.read() as unit:
            jobs = select(func.count(Job.id)).where(Job.trashed_at < database_now(-self._trash))
            due = select(func.count()).where(CondemnedObject.due_at <= database_now())
            counted = Collected(
                trashed_jobs=unit.session.scalar(jobs) or 0,
                training_states=count_outdated_states(unit.session, after=self._keep_state),
                uploads=count_unused_uploads(unit.session, self._retention),
                expired_rows=count_expired_rows(unit.session, grace=self._grace),
                expired_uploads=count_expired_uploads(unit.session),
                forgotten_workers=count_forgotten(unit.session, after=self._forget_workers_after),
                objects_set_aside=unit.session.scalar(due) or 0,
                unused_packs=len(unused_packs(unit.session, after=self._longer_grace)),
                leftover_files=len(self._leftovers()),
            )
        return replace(
            counted,
            orphans_condemned=sum(
                len(orphans(self._database, page)) for page in stored_digests(self._store)
            ),
            objects_erased=sum(self._due_aside()),
        )

    def _due_aside(self) -> Iterator[int]:
        for page in aside_objects(self._store):
            with self._database.read() as unit:
                yield due_aside(unit.session, page)

    def _collect_known(self) -> Collected:
        purged, states, packs = self._purge_jobs(), self._drop_states(), self._delete_packs()
        archives, uploads = self._remove_archives(), self._drop_uploads()
        workers = self._in_batches(self._forget_some_workers)
        expired, moved = self._delete_expired(), self._set_aside()
        restored, erased = 0, 0
        for page in self._until_stopped(aside_objects(self._store)):
            counts = conclude_aside(self._database, self._store, page)
            restored, erased = restored + counts[0], erased + counts[1]
        return Collected(
            trashed_jobs=purged,
            training_states=states,
            uploads=archives,
            expired_rows=expired,
            unused_packs=packs,
            expired_uploads=uploads,
            forgotten_workers=workers,
            objects_set_aside=moved,
            objects_put_back=restored,
            objects_erased=erased,
        )

    def _purge_jobs(self) -> int:
        with self._database.read() as unit:
            ripe = trashed_jobs(unit.session, after=self._trash, limit=JOBS_AT_ONCE)
        purged = 0
        for job_id in self._until_stopped(ripe):
            if purge_job(self._database, job_id, after=self._trash, grace=self._grace):
                log.info("job.purged", job_id=job_id)
                purged += 1
        return purged

    def _drop_states(self) -> int:
        after, dropped = self._keep_state, 0
        with self._database.read() as unit:
            ended = jobs_with_outdated_states(unit.session, after=after, limit=JOBS_AT_ONCE)
        for job_id in self._until_stopped(ended):
            dropped += drop_outdated_state(self._database, job_id, after=after, grace=self._grace)
        return dropped

    def _remove_archives(self) -> int:
        return self._in_batches(
            lambda: remove_unused_uploads(self._database, self._retention, grace=self._grace)
        )

    def _delete_expired(self) -> int:
        return self._in_batches(lambda: delete_expired_rows(self._database, grace=self._grace))

    def _forget_some_workers(self) -> int:
        after = self._forget_workers_after
        with self._database.write() as unit:
            return len(forget_workers(unit.session, after=after, limit=WORKERS_AT_ONCE))

    def _in_batches(self, act: Callable[[], int]) -> int:
        """Repeat a bounded step until it finds nothing; return the sum of its counts."""
        total = 0
        while not self._stopping.is_set() and (newly := act()):
            total += newly
        return total

    def _delete_packs(self) -> int:
        """Delete the rows of packs that no version uses; their bytes are then garbage."""
        return self._in_batches(self._delete_some_packs)

    @property
    def _longer_grace(self) -> timedelta:
        """A pack is in use while it is written, which may take longer than the grace."""
        return max(self._grace, SHORTEST_LEFTOVER)

    def _delete_some_packs(self) -> int:
        with self._database.write() as unit:
            return delete_unused_packs(unit.session, after=self._longer_grace, limit=1)

    def _drop_uploads(self) -> int:
        """Delete expired uploads, then the files of this spool that no unfinished upload needs.

        A file is created after its row, so a file without a row is never needed again.
        """
        deleted = self._in_batches(
            lambda: delete_expired_uploads(self._database, grace=self._grace)
        )
        ids = list(self._uploads.upload_ids())
        for page in (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)):
            with self._database.read() as unit:
                needed = unfinished_among(unit.session, page)
            for upload_id in set(page) - needed:
                self._uploads.remove(upload_id)
        return deleted

    def _set_aside(self) -> int:
        moved, looked_at = 0, AT_ONCE
        while looked_at == AT_ONCE and not self._stopping.is_set():
            looked_at, newly = set_due_objects_aside(self._database, self._store, hold=self._hold)
            moved += newly
        return moved

    def _until_stopped(self, items: Iterable[Item]) -> Iterator[Item]:
        return takewhile(lambda _: not self._stopping.is_set(), items)

    def _leftovers(self) -> list[Path]:
        """Return files that killed processes left on this machine: partial objects and archives.

        Files of resumable uploads are not among them: rows determine how long those are kept.
        """
        before = datetime.now(UTC) - max(self._grace, SHORTEST_LEFTOVER)
        spooled = self._spool.iterdir() if self._spool.is_dir() else iter(())
        written = (path for path in spooled if path != self._uploads.folder)
        cut = [path for path in written if _last_written(path) < before.timestamp()]
        return [*unfinished_files(self._store, before=before), *cut]


def _last_written(path: Path) -> float:
    """Return when a file, or anything in a folder, was last written; inf if it is gone."""
    with suppress(FileNotFoundError):  # its owner is removing it
        found = [path.lstat()]
        if stat.S_ISDIR(found[0].st_mode):
            found += [entry.stat(follow_symlinks=False) for entry in entries_below(path)]
        return max(each.st_mtime for each in found)
    return math.inf


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
