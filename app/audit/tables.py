"""The audit log: who changed what, and when."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, Json, UtcDateTime


class AuditRecord(Base):
    """A change, a sign-in or a use of administration, as it was when it happened.

    It has no foreign keys, because it outlives what it names. The transaction that makes the change
    inserts it; a moment later a server gives it its `position` and its hash, so that transactions
    need not wait for each other.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_project_id_id", "project_id", "id"),
        Index(
            "ix_audit_log_unsealed",
            "id",
            sqlite_where=text("position IS NULL"),
            postgresql_where=text("position IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(60), doc="noun.verb, such as key.created")
    target: Mapped[str] = mapped_column(String(200), doc="id or name of what was changed")
    project_id: Mapped[str | None] = mapped_column(String(40))
    user_id: Mapped[str | None] = mapped_column(String(40), doc="null: the command line")
    user_name: Mapped[str | None] = mapped_column(String(200))
    credential: Mapped[str] = mapped_column(
        String(60), doc="public id of the key, id of the session, or `command`"
    )
    address: Mapped[str | None] = mapped_column(String(60), doc="of the client")
    request_id: Mapped[str | None] = mapped_column(String(40))
    details: Mapped[dict[str, str | int | bool | None]] = mapped_column(Json)
    position: Mapped[int | None] = mapped_column(
        BigInteger, unique=True, doc="null: not yet in the chain"
    )
    sha256: Mapped[bytes | None] = mapped_column(
        LargeBinary(32), doc="of the hash of the record before and of this record"
    )


class AuditChain(Base):
    """Both ends of the chain of hashes; a single row."""

    __tablename__ = "audit_chain"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    removed_position: Mapped[int] = mapped_column(BigInteger, doc="of the newest removed record")
    removed_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    last_position: Mapped[int] = mapped_column(BigInteger, doc="of the newest record in the chain")
    last_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
