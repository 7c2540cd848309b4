"""Queries and writes of a job's artifacts. Callers check first that the user may see the job."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic import JsonValue
from sqlalchemy import ColumnElement, ScalarSelect, case, delete, func, insert, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.artifacts.names import (
    LAST,
    NOT_DOWNLOADED,
    RESULTS,
    STATE,
    ArtifactKind,
    preview_name,
)
from app.artifacts.resume_sets import KeptSets, NamedFile, epochs_of_sets, set_of, superseded
from app.artifacts.tables import Artifact, CondemnedObject
from app.core.database import ExcludedRow, database_now, upsert
from app.core.ids import new_id
from app.core.storage import StoredObject


@dataclass(frozen=True)
class CheckpointRow:
    """What identifies the row of a checkpoint's file, and the digest of its bytes."""

    id: str
    name: str
    epoch: int
    sha256: str


def insert_artifact(  # noqa: PLR0913 -- the columns of the row
    session: Session,
    job_id: str,
    stored: StoredObject,
    *,
    attempt: int,
    kind: ArtifactKind,
    name: str,
    epoch: int | None,
    checks: Mapping[str, JsonValue] | None = None,
    size: tuple[int, int] | None = None,
) -> None:
    """Insert the row of bytes that are already stored; replace a row with the same name.

    A checkpoint only replaces a checkpoint with the same name and epoch. `size` is the width and
    height of a preview.
    """
    same: tuple[ColumnElement[bool], ...] = (Artifact.job_id == job_id, Artifact.name == name)
    if kind is ArtifactKind.CHECKPOINT:
        same = (*same, Artifact.kind == kind, Artifact.epoch == epoch)
    else:
        same = (*same, Artifact.kind != ArtifactKind.CHECKPOINT)
    session.execute(delete(Artifact).where(*same))
    session.execute(
        insert(Artifact).values(
            id=new_id("art"),
            job_id=job_id,
            attempt=attempt,
            kind=kind,
            name=name,
            epoch=epoch,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            checks=None if checks is None else dict(checks),
            width=None if size is None else size[0],
            height=None if size is None else size[1],
            created_at=database_now(),
        )
    )


def insert_checkpoints(
    session: Session, job_id: str, files: Mapping[NamedFile, StoredObject], *, attempt: int
) -> list[CheckpointRow]:
    """Insert the rows of stored files of checkpoints; replace rows of the same name and epoch."""
    rows = [
        CheckpointRow(new_id("art"), name, epoch, stored.sha256)
        for (name, epoch), stored in files.items()
    ]
    values = [
        {
            "id": row.id,
            "job_id": job_id,
            "attempt": attempt,
            "kind": ArtifactKind.CHECKPOINT,
            "name": row.name,
            "epoch": row.epoch,
            "size_bytes": files[row.name, row.epoch].size_bytes,
            "sha256": row.sha256,
            "created_at": database_now(),
        }
        for row in rows
    ]
    if values:
        key, of_checkpoints = ("job_id", "name", "epoch"), text("kind = 'checkpoint'")
        session.execute(upsert(session, Artifact, values, key=key, where=of_checkpoints))
    return rows


def artifacts_of(session: Session, job_id: str) -> Sequence[Artifact]:
    """Return a job's artifacts for download, by name."""
    statement = (
        select(Artifact)
        .where(Artifact.job_id == job_id, Artifact.kind.not_in(NOT_DOWNLOADED))
        .order_by(Artifact.name)
    )
    return session.scalars(statement).all()


def artifacts_and_previews_of(
    session: Session, job_id: str
) -> list[tuple[Artifact, Artifact | None]]:
    """Return a job's artifacts for download, by name, each plot with its preview if it has one."""
    kinds = (ArtifactKind.CHECKPOINT, ArtifactKind.VALIDATION)
    statement = (
        select(Artifact)
        .where(Artifact.job_id == job_id, Artifact.kind.not_in(kinds))
        .order_by(Artifact.name)
    )
    rows = session.scalars(statement).all()
    previews = {row.name: row for row in rows if row.kind is ArtifactKind.PREVIEW}
    return [
        (row, previews.get(preview_name(row.name)))
        for row in rows
        if row.kind is not ArtifactKind.PREVIEW
    ]


def artifact_named(session: Session, job_id: str, name: str) -> Artifact | None:
    """Return a job's artifact for download with this name, or None."""
    statement = select(Artifact).where(
        Artifact.job_id == job_id,
        Artifact.name == name,
        Artifact.kind.not_in(NOT_DOWNLOADED),
    )
    return session.scalars(statement).one_or_none()


def shown_artifact(session: Session, job_id: str, kind: ArtifactKind, name: str) -> Artifact | None:
    """Return what the final validation showed, or the preview of a plot; None without it."""
    statement = select(Artifact).where(
        Artifact.job_id == job_id, Artifact.name == name, Artifact.kind == kind
    )
    return session.scalars(statement).one_or_none()


def forget_shown(session: Session, job_id: str) -> None:
    """Delete what an earlier final validation showed, and the previews of its plots."""
    kinds = (ArtifactKind.VALIDATION, ArtifactKind.PREVIEW)
    session.execute(delete(Artifact).where(Artifact.job_id == job_id, Artifact.kind.in_(kinds)))


def checkpoints_of(session: Session, job_id: str) -> Sequence[Artifact]:
    """Return a job's checkpoints, newest epoch first."""
    statement = (
        select(Artifact)
        .where(Artifact.job_id == job_id, Artifact.kind == ArtifactKind.CHECKPOINT)
        .order_by(Artifact.epoch.desc(), Artifact.name)
    )
    return session.scalars(statement).all()


def checkpoint_file(session: Session, job_id: str, name: str, epoch: int) -> Artifact | None:
    """Return the file of a job's checkpoint with this name and epoch, or None."""
    statement = select(Artifact).where(
        Artifact.job_id == job_id,
        Artifact.name == name,
        Artifact.epoch == epoch,
        Artifact.kind == ArtifactKind.CHECKPOINT,
    )
    return session.scalars(statement).one_or_none()


def has_checkpoint(session: Session, job_id: str) -> bool:
    """Return whether a job has a checkpoint to resume from."""
    statement = select(Artifact.id).where(
        Artifact.job_id == job_id,
        Artifact.kind == ArtifactKind.CHECKPOINT,
        Artifact.name == LAST,
    )
    return session.scalars(statement.limit(1)).first() is not None


def resume_epoch_of(job_id: str | InstrumentedAttribute[str]) -> ScalarSelect[int | None]:
    """Return the query of the epoch after which a job would resume.

    It is the epoch of the newest training state, or else of the newest last.pt; null: the job would
    start from the beginning. `job_id` may be a column of an enclosing query.
    """
    return (
        select(Artifact.epoch)
        .where(
            Artifact.job_id == job_id,
            Artifact.kind == ArtifactKind.CHECKPOINT,
            Artifact.name.in_([STATE, LAST]),
        )
        .order_by(case((Artifact.name == STATE, 0), else_=1), Artifact.epoch.desc())
        .limit(1)
        .scalar_subquery()
    )


def resume_epoch(session: Session, job_id: str) -> int | None:
    """Return the epoch after which a job would resume; see `resume_epoch_of`."""
    return session.scalar(select(resume_epoch_of(job_id)))


def has_artifacts(session: Session, artifact_ids: Collection[str]) -> bool:
    """Whether all of these rows are still there."""
    statement = select(func.count()).select_from(Artifact).where(Artifact.id.in_(artifact_ids))
    return session.scalars(statement).one() == len(artifact_ids)


def copy_checkpoints(session: Session, checkpoints: Iterable[Artifact], job_id: str) -> None:
    """Insert rows of these checkpoints for another job; the bytes are not copied.

    Their `attempt` is 0, because no attempt of that job made them.
    """
    for row in checkpoints:
        stored = StoredObject(row.sha256, row.size_bytes)
        insert_artifact(
            session, job_id, stored, attempt=0, kind=row.kind, name=row.name, epoch=row.epoch
        )


def newest_state_set(session: Session, job_id: str) -> tuple[int, Mapping[str, Artifact]] | None:
    """Return the epoch of a job's newest training state and the rows of its resume set, by name.

    Sets without results.csv are skipped. Return None if there is no such set.
    """
    rows = {(row.name, row.epoch): row for row in checkpoints_of(session, job_id)}
    files = files_of(rows.values())
    for epoch in epochs_of_sets(files, having=STATE):
        found = {name: rows[name, made] for name, made in set_of(epoch, files).items()}
        if RESULTS in found:
            return epoch, found
    return None


def files_of(checkpoints: Iterable[Artifact]) -> list[NamedFile]:
    """Return name and epoch of each checkpoint."""
    return [(row.name, row.epoch) for row in checkpoints if row.epoch is not None]


def checkpoint_rows(session: Session, job_id: str) -> list[CheckpointRow]:
    """Return what identifies a job's checkpoints."""
    columns = (Artifact.id, Artifact.name, Artifact.epoch, Artifact.sha256)
    statement = select(*columns).where(
        Artifact.job_id == job_id, Artifact.kind == ArtifactKind.CHECKPOINT
    )
    return [
        CheckpointRow(id_, name, epoch, sha256)
        for id_, name, epoch, sha256 in session.execute(statement)
        if epoch is not None
    ]


def drop_superseded_checkpoints(
    session: Session, job_id: str, kept: KeptSets, *, grace: timedelta
) -> None:
    """Delete the checkpoints that no kept resume set needs, and condemn their bytes."""
    drop_superseded_rows(session, checkpoint_rows(session, job_id), kept, grace=grace)


def drop_superseded_rows(
    session: Session, rows: Collection[CheckpointRow], kept: KeptSets, *, grace: timedelta
) -> list[CheckpointRow]:
    """Do the same where all rows of a job's checkpoints are known; return those that stay."""
    outdated = superseded([(row.name, row.epoch) for row in rows], kept)
    dropped = [row for row in rows if (row.name, row.epoch) in outdated]
    staying = [row for row in rows if (row.name, row.epoch) not in outdated]
    if dropped:
        session.execute(delete(Artifact).where(Artifact.id.in_([row.id for row in dropped])))
        still = {row.sha256 for row in staying}
        condemn(session, {row.sha256 for row in dropped} - still, grace=grace)
    return staying


def delete_checkpoints_after(session: Session, job_id: str, *, epoch: int) -> None:
    """Delete checkpoints of epochs after `epoch`, which a resume trains again."""
    session.execute(
        delete(Artifact).where(
            Artifact.job_id == job_id,
            Artifact.kind == ArtifactKind.CHECKPOINT,
            Artifact.epoch > epoch,
        )
    )


def forget_states(session: Session, job_id: str, epochs: Collection[int]) -> None:
    """Delete the training states of these epochs; a resume from their sets is then plain."""
    session.execute(
        delete(Artifact).where(
            Artifact.job_id == job_id,
            Artifact.kind == ArtifactKind.CHECKPOINT,
            Artifact.name == STATE,
            Artifact.epoch.in_(epochs),
        )
    )


def condemn(session: Session, digests: Iterable[str], *, grace: timedelta) -> None:
    """Mark stored objects for the collector, which removes those still unreferenced after `grace`.

    Call it in the transaction that deletes the references. Then a kill cannot leave bytes without
    a mark.
    """
    due_at = database_now(grace)
    # Sorted, so that two transactions that condemn the same objects cannot deadlock.
    rows = [{"sha256": digest, "due_at": due_at} for digest in sorted(set(digests))]
    if not rows:
        return
    before = CondemnedObject.due_at

    def later(new: ExcludedRow) -> dict[str, object]:
        return {"due_at": case((new.due_at > before, new.due_at), else_=before)}

    session.execute(upsert(session, CondemnedObject, rows, key=("sha256",), update=later))
