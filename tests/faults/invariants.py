"""The invariants after every fault, checked in the database, the store, /proc and the API.

Each function returns one sentence per violation; tests assert that the list is empty.
"""

import csv
import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.artifacts.names import LAST, RESULTS, STATE
from app.artifacts.tables import Artifact
from app.core.storage import sha256_of
from app.datasets.tables import DatasetVersion, StoredPack
from app.events.tables import EventRow
from app.jobs.states import JobState
from app.jobs.tables import Attempt, Epoch, Job
from app.models.tables import Model
from tests.waiting import eventually
from tests.worlds.cluster import Cluster

REST_SECONDS = 30.0
ENDINGS = frozenset({"job.succeeded", "job.failed", "job.cancelled"})


def violations(cluster: Cluster) -> list[str]:
    """Return the violations in a cluster whose jobs have ended; leftovers get time to disappear."""
    with suppress(AssertionError):
        eventually(lambda: not _left_behind(cluster), within=REST_SECONDS)
    with cluster.database() as database, database.read() as unit:
        session = unit.session
        found = [
            *_each_job_ended_once(session, cluster.acknowledged),
            *_no_epoch_lost_or_doubled(session, cluster),
            *_no_two_attempts_wrote(session),
            *_bytes_match_their_digests(session, cluster),
            *_no_row_without_object(session, cluster),
            *_resume_sets_are_whole(session),
            *_no_lease_left(session),
            *_events_are_gapless(session),
        ]
    left = [f"6: {each} is left" for each in _left_behind(cluster)]
    return [*found, *left, *_api_is_healthy(cluster)]


def _each_job_ended_once(session: Session, acknowledged: Sequence[str]) -> Iterable[str]:
    jobs = {job.id: job for job in session.scalars(select(Job))}
    yield from (f"1: {each} is lost" for each in acknowledged if each not in jobs)
    yield from (f"1: {each} was never acknowledged" for each in jobs.keys() - set(acknowledged))
    endings = Counter(
        row.job_id for row in session.scalars(select(EventRow).where(EventRow.type.in_(ENDINGS)))
    )
    for job in jobs.values():
        if not job.state.is_ended:
            yield f"1: {job.id} is {job.state}"
        if endings[job.id] != 1:
            yield f"1: {job.id} ended {endings[job.id]} times"


def _no_epoch_lost_or_doubled(session: Session, cluster: Cluster) -> Iterable[str]:
    for job in session.scalars(select(Job).where(Job.state == JobState.SUCCEEDED)):
        rows = list(
            session.scalars(select(Epoch.epoch).where(Epoch.job_id == job.id).order_by(Epoch.epoch))
        )
        planned = list(range(1, job.resolved_spec["train"]["epochs"] + 1))
        if rows != planned:
            yield f"2: {job.id} has the epochs {rows} of {len(planned)}"
        table = session.scalars(
            select(Artifact).where(
                Artifact.job_id == job.id,
                Artifact.name == "results.csv",
                Artifact.kind != "checkpoint",
            )
        ).one_or_none()
        if table is None:
            yield f"2: {job.id} has no results.csv"
        elif (written := _epochs_of_table(_object(cluster, table.sha256))) != planned:
            yield f"2: results.csv of {job.id} has the epochs {written}"


def _epochs_of_table(file: Path) -> list[int]:
    with file.open(newline="") as lines:
        return [int(float(row["epoch"])) for row in csv.DictReader(lines)]


def _no_two_attempts_wrote(session: Session) -> Iterable[str]:
    attempts: dict[str, list[Attempt]] = {}
    for each in session.scalars(select(Attempt).order_by(Attempt.job_id, Attempt.number)):
        attempts.setdefault(each.job_id, []).append(each)
    for job_id, of_job in attempts.items():
        for one, next_one in pairwise(of_job):
            if one.ended_at is None or one.ended_at > next_one.started_at:
                yield f"3: {job_id} had attempts {one.number} and {next_one.number} at once"
    spans = {(each.job_id, each.number): each for rows in attempts.values() for each in rows}
    written = [
        *session.scalars(select(Epoch).order_by(Epoch.job_id, Epoch.epoch)),
        *session.scalars(select(Artifact).where(Artifact.kind == "checkpoint")),
    ]
    for row in written:
        span = spans[row.job_id, row.attempt]
        late = span.ended_at is not None and row.created_at > span.ended_at
        if late or row.created_at < span.started_at:
            yield f"3: {row.job_id} epoch {row.epoch} was written outside attempt {row.attempt}"


def _bytes_match_their_digests(session: Session, cluster: Cluster) -> Iterable[str]:
    for row in session.scalars(select(Artifact)):
        file = _object(cluster, row.sha256)
        if file.exists() and sha256_of(file) != (row.sha256, row.size_bytes):
            yield f"4: {row.name} of {row.job_id} has other bytes than {row.sha256}"


def _no_row_without_object(session: Session, cluster: Cluster) -> Iterable[str]:
    named: dict[str, str] = {}
    for row in session.scalars(select(Artifact)):
        named[row.sha256] = f"{row.kind} {row.name} of {row.job_id}"
    for version in session.scalars(select(DatasetVersion)):
        named |= {digest: f"{what} of {version.id}" for what, digest in _objects_of(version)}
    for pack in session.scalars(select(StoredPack)):
        named[pack.sha256] = f"pack {pack.id}"
    for model in session.scalars(select(Model)):
        named[model.sha256] = f"model {model.name}"
    for digest, what in named.items():
        if not _object(cluster, digest).exists():
            yield f"5: {what} is not in the store"


def _objects_of(version: DatasetVersion) -> Iterable[tuple[str, str]]:
    """Yield what the row of a version says is in the store, with the digest."""
    is_made_of_files = version.recipe is not None and "archive" not in version.recipe
    if version.upload_removed_at is None and not is_made_of_files:
        yield "archive", version.archive_sha256
    if version.manifest_bytes is not None and version.manifest_digest is not None:
        yield "manifest", version.manifest_digest
    for column in ("pack_sha256", "findings_sha256", "listing_sha256"):
        digest = getattr(version, column)
        if digest is not None:
            yield column, digest


def _resume_sets_are_whole(session: Session) -> Iterable[str]:
    states = {job.id: job.state for job in session.scalars(select(Job))}
    files: dict[str, set[tuple[str, int | None]]] = {}
    for row in session.scalars(select(Artifact).where(Artifact.kind == "checkpoint")):
        files.setdefault(row.job_id, set()).add((row.name, row.epoch))
    for job_id, of_job in files.items():
        with_state = sorted(epoch or 0 for name, epoch in of_job if name == STATE)
        if len(with_state) > (1 if states[job_id].is_ended else 2):
            yield f"5: {job_id} keeps the training states of the epochs {with_state}"
        for epoch in with_state:
            if not {(LAST, epoch), (RESULTS, epoch)} <= of_job:
                yield f"5: {job_id} keeps of epoch {epoch} a training state without its files"


def _no_lease_left(session: Session) -> Iterable[str]:
    held = (
        *session.scalars(select(Job.id).where(Job.lease_expires_at.is_not(None))),
        *session.scalars(
            select(DatasetVersion.id).where(DatasetVersion.lease_expires_at.is_not(None))
        ),
    )
    yield from (f"6: {each} is still leased" for each in held)
    for each in session.scalars(select(Attempt).where(Attempt.ended_at.is_(None))):
        yield f"6: attempt {each.number} of {each.job_id} is open"


def _events_are_gapless(session: Session) -> Iterable[str]:
    numbers: dict[str | None, list[int | None]] = {}
    for job_id, seq in session.execute(
        select(EventRow.job_id, EventRow.seq).order_by(EventRow.job_id, EventRow.seq)
    ):
        numbers.setdefault(job_id, []).append(seq)
    for job in session.scalars(select(Job)):
        if numbers.get(job.id, []) != list(range(1, job.last_seq + 1)):
            yield f"7: events of {job.id} are {numbers.get(job.id)}, not 1 to {job.last_seq}"


def _left_behind(cluster: Cluster) -> list[str]:
    """Return leftover processes of attempts, directories of live workers, and dataset locks."""
    found = _alive_below(cluster)
    for node in cluster.workers:
        if node.program.is_alive:
            found += map(str, _entries(node.home / "worker" / "attempts"))
        locks = (node.home / "worker" / "datasets").glob("*.lock")
        found += [f"the lock on {lock}" for lock in locks if _is_locked(lock)]
    return found


def _api_is_healthy(cluster: Cluster) -> Iterable[str]:
    answer = cluster.insist("GET", "/readyz")
    if answer.status_code != 200:
        yield f"8: /readyz answers {answer.status_code}: {answer.text}"


def _alive_below(cluster: Cluster) -> list[str]:
    """Return the processes that work in an attempt's or a verification's folder of this cluster."""
    places = [
        *(f"{node.home}/worker/attempts/" for node in cluster.workers),
        *(f"{node.home}/spool/" for node in cluster.servers),
    ]
    everyone = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [f"process {entry.name}" for entry in everyone if _works_in(entry, places)]


def _works_in(entry: Path, places: Sequence[str]) -> bool:
    try:
        is_zombie = b") Z" in (entry / "stat").read_bytes()
        return not is_zombie and str((entry / "cwd").readlink()).startswith(tuple(places))
    except OSError:
        return False


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_locked(file: Path) -> bool:
    descriptor = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _object(cluster: Cluster, digest: str) -> Path:
    """Return the path of an object, also if a collector set it aside just as a row named it."""
    stored = cluster.store_folder / "sha256" / digest[:2] / digest
    aside = (cluster.store_folder / "aside" / digest[:2]).glob(f"{digest}.*")
    return stored if stored.exists() else next(aside, stored)
