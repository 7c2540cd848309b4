"""Files of jobs, by the SHA-256 of their stored bytes, and objects marked for collection."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, ForeignKey, Index, String, and_, column, text
from sqlalchemy.orm import Mapped, mapped_column

from app.artifacts.names import STATE, ArtifactKind
from app.core.columns import checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime

_IS_TRAINING_STATE = and_(column("kind") == ArtifactKind.CHECKPOINT.value, column("name") == STATE)


class Artifact(Base):
    """A file of a job. A row is inserted only after its bytes are stored and synced."""

    __tablename__ = "artifacts"
    __table_args__ = (
        Index(
            "uq_artifacts_job_id_name",
            "job_id",
            "name",
            unique=True,
            sqlite_where=text("kind <> 'checkpoint'"),
            postgresql_where=text("kind <> 'checkpoint'"),
        ),
        Index(
            "uq_artifacts_checkpoint",
            "job_id",
            "name",
            "epoch",
            unique=True,
            sqlite_where=text("kind = 'checkpoint'"),
            postgresql_where=text("kind = 'checkpoint'"),
        ),
        Index(
            "ix_artifacts_states",
            "job_id",
            sqlite_where=_IS_TRAINING_STATE,
            postgresql_where=_IS_TRAINING_STATE,
        ),
        Index("ix_artifacts_sha256", "sha256"),
        Index("ix_artifacts_job_id", "job_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    kind: Mapped[ArtifactKind] = mapped_column(checked_enum(ArtifactKind, "kind"))
    name: Mapped[str] = mapped_column(String(200), doc="file name in lists and downloads")
    epoch: Mapped[int | None] = mapped_column(doc="the epoch at whose end it was written, from 1")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64), doc="hex; also the key in the store")
    checks: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson, doc="results of the checks before the file was published"
    )
    width: Mapped[int | None] = mapped_column(doc="of a preview, in pixels; null: it is no preview")
    height: Mapped[int | None] = mapped_column(doc="as `width`")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CondemnedObject(Base):
    """A stored object that is probably unreferenced; the collector checks again before it acts."""

    __tablename__ = "condemned_objects"

    sha256: Mapped[str] = mapped_column(
        String(64), primary_key=True, doc="hex; also the key in the store"
    )
    due_at: Mapped[datetime] = mapped_column(
        UtcDateTime,
        index=True,
        doc="time from which it may be removed, if it is still unreferenced",
    )


class DamagedObject(Base):
    """A stored object whose bytes do not match its digest; no server sends it until they do."""

    __tablename__ = "damaged_objects"

    sha256: Mapped[str] = mapped_column(
        String(64), primary_key=True, doc="hex; also the key in the store"
    )
    noticed_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="time of the first notice")


class ScrubPass(Base):
    """How far the servers have come with hashing all stored objects; at most one row."""

    __tablename__ = "scrub_passes"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, doc="always 1")
    holder: Mapped[str] = mapped_column(String(40), doc="the server that hashes; random per start")
    held_until: Mapped[datetime] = mapped_column(
        UtcDateTime, doc="time from which another server may go on"
    )
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, doc="begin of this pass")
    after: Mapped[str] = mapped_column(
        String(64), doc="the last digest that was hashed; the digests come in their order"
    )
    finished_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="end of the newest finished pass"
    )
    objects: Mapped[int] = mapped_column(BigInteger, doc="objects hashed in this pass")
