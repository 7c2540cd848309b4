"""What projects and users use and may use, and the lanes in which their jobs wait.

Triggers keep all counters (`app.quotas.counters`), in the transactions that change what they count.
"""

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base


class Usage(Base):
    """What one project or user uses, and its quotas. A quota of null is no limit.

    Every transaction that changes a counter locks this row, so a check after the change is exact.
    """

    __tablename__ = "usage"

    subject_id: Mapped[str] = mapped_column(
        String(40), primary_key=True, doc="id of a project or a user"
    )
    queued_jobs: Mapped[int] = mapped_column(server_default="0")
    running_jobs: Mapped[int] = mapped_column(server_default="0")
    paused_jobs: Mapped[int] = mapped_column(server_default="0")
    succeeded_jobs: Mapped[int] = mapped_column(server_default="0", doc="without the trash")
    failed_jobs: Mapped[int] = mapped_column(server_default="0", doc="without the trash")
    cancelled_jobs: Mapped[int] = mapped_column(server_default="0", doc="without the trash")
    trashed_succeeded_jobs: Mapped[int] = mapped_column(server_default="0")
    trashed_failed_jobs: Mapped[int] = mapped_column(server_default="0")
    trashed_cancelled_jobs: Mapped[int] = mapped_column(server_default="0")
    stored_bytes: Mapped[int] = mapped_column(
        BigInteger,
        server_default="0",
        doc="artifacts, packs, uploaded archives and finished uploads; equal bytes count each time",
    )
    uploaded_bytes: Mapped[int] = mapped_column(
        BigInteger, server_default="0", doc="announced sizes of the uploads that are kept"
    )
    verifier_seconds: Mapped[float] = mapped_column(
        server_default="0", doc="processor time of verifications that ended on `verifier_day`"
    )
    verifier_day: Mapped[str | None] = mapped_column(String(10), doc="in UTC, as 2026-11-30")
    max_queued_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_uploaded_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_verifier_seconds: Mapped[int | None] = mapped_column(doc="in one day of UTC")


class Lane(Base):
    """The waiting jobs of one user in one project, queue and priority, in the order of their ids.

    An empty lane is kept, because it remembers its turn.
    """

    __tablename__ = "lanes"
    __table_args__ = (
        Index(
            "ix_lanes_waiting",
            "queue",
            "rank",
            "turn",
            "own_turn",
            "opened_with",
            sqlite_where=text("waiting > 0"),
            postgresql_where=text("waiting > 0"),
        ),
        Index("ix_lanes_turn", "queue", "rank", "turn"),
        Index("ix_lanes_project_id", "project_id"),
    )

    queue: Mapped[str] = mapped_column(String(64), primary_key=True)
    rank: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, doc="0 minus the priority: the order of the index"
    )
    project_id: Mapped[str] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    )
    owner_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    waiting: Mapped[int] = mapped_column(server_default="0", doc="number of queued jobs")
    turn: Mapped[int] = mapped_column(
        BigInteger, server_default="0", doc="of the project's last claim in this queue and rank"
    )
    own_turn: Mapped[int] = mapped_column(
        BigInteger, server_default="0", doc="of the last claim from this lane"
    )
    opened_with: Mapped[str] = mapped_column(
        String(40), doc="the job that came when the lane was empty: the order of equal turns"
    )
