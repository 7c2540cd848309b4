"""Rows of a job's artifacts. Who may see the job is decided before these are asked."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic import JsonValue
from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.orm import Session

from app.artifacts.tables import Artifact, ArtifactKind
from app.core.database import database_now
from app.core.ids import new_id
from app.core.storage import StoredObject


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
) -> None:
    """Add the row of bytes that are stored already; one of the same name is replaced."""
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
            created_at=database_now(),
        )
    )


def artifacts_of(session: Session, job_id: str) -> Sequence[Artifact]:
    """Return what a job hands out, by name; checkpoints are not among them."""
    statement = (
        select(Artifact)
        .where(Artifact.job_id == job_id, Artifact.kind != ArtifactKind.CHECKPOINT)
        .order_by(Artifact.name)
    )
    return session.scalars(statement).all()


def artifact_named(session: Session, job_id: str, name: str) -> Artifact | None:
    """Return one of the artifacts that a job hands out."""
    statement = select(Artifact).where(
        Artifact.job_id == job_id,
        Artifact.name == name,
        Artifact.kind != ArtifactKind.CHECKPOINT,
    )
    return session.scalars(statement).one_or_none()


def checkpoints_of(session: Session, job_id: str) -> Sequence[Artifact]:
    """Return a job's checkpoints, the newest epoch first."""
    statement = (
        select(Artifact)
        .where(Artifact.job_id == job_id, Artifact.kind == ArtifactKind.CHECKPOINT)
        .order_by(Artifact.epoch.desc(), Artifact.name)
    )
    return session.scalars(statement).all()


def has_checkpoint(session: Session, job_id: str) -> bool:
    """Whether a job has anything that a resume could start from."""
    statement = select(Artifact.id).where(
        Artifact.job_id == job_id,
        Artifact.kind == ArtifactKind.CHECKPOINT,
        Artifact.name == "last.pt",
    )
    return session.scalars(statement.limit(1)).first() is not None


def delete_checkpoints_before(session: Session, job_id: str, *, name: str, epoch: int) -> None:
    """Forget checkpoints of `name` from earlier epochs than `epoch`; collecting frees the bytes."""
    session.execute(
        delete(Artifact).where(
            Artifact.job_id == job_id,
            Artifact.kind == ArtifactKind.CHECKPOINT,
            Artifact.name == name,
            Artifact.epoch < epoch,
        )
    )


def delete_checkpoints_after(session: Session, job_id: str, *, epoch: int) -> None:
    """Forget checkpoints of later epochs than `epoch`: a resume makes these epochs anew."""
    session.execute(
        delete(Artifact).where(
            Artifact.job_id == job_id,
            Artifact.kind == ArtifactKind.CHECKPOINT,
            Artifact.epoch > epoch,
        )
    )


def unreferenced(session: Session, digests: AbstractSet[str]) -> list[str]:
    """Return those of `digests` that no artifact of any job names."""
    named = session.scalars(select(Artifact.sha256).where(Artifact.sha256.in_(digests)))
    return sorted(digests - set(named))
