"""Resumable uploads and their progress."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, UtcDateTime


class Upload(Base):
    """The upload of one file. It is finished when `sha256` is known and names bytes in the store.

    `offset_bytes` is the truth about the bytes that arrived: they were synced before it was
    written. The file in the spool may be longer after a crash.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint("offset_bytes BETWEEN 0 AND size_bytes", name="offset_within_size"),
        CheckConstraint("sha256 IS NULL OR offset_bytes = size_bytes", name="finished_is_whole"),
        Index("ix_uploads_owner_id", "owner_id"),
        Index(
            "ix_uploads_unfinished",
            "owner_id",
            sqlite_where=text("sha256 IS NULL"),
            postgresql_where=text("sha256 IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    filename: Mapped[str] = mapped_column(String(255))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    offset_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="hex; known once the bytes are in the store"
    )
    spool_id: Mapped[str] = mapped_column(
        String(40), doc="the spool folder that holds the bytes until they are in the store"
    )
    sent_metadata: Mapped[str | None] = mapped_column(
        String(4096), doc="the header Upload-Metadata as the client sent it"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
