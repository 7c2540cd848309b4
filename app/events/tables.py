"""The event log: what happened to jobs and to versions of datasets, in one order.

The events of a job are numbered without gaps. The order of the whole log is `transaction_id`, then
`position` (`app.events.log`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from app.core.columns import checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime

EPOCH_FINISHED: Final = "epoch.finished"


class Level(StrEnum):
    """The severity of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _CurrentTransaction(FunctionElement[int]):
    """The id of the current transaction on PostgreSQL; 0 on SQLite, which has one writer."""

    type = BigInteger()
    inherit_cache = True
    name = "current_transaction"


@compiles(_CurrentTransaction, "sqlite")
def _current_transaction_sqlite(_: _CurrentTransaction, __: SQLCompiler, **___: Any) -> str:  # noqa: ANN401
    return "0"


@compiles(_CurrentTransaction, "postgresql")
def _current_transaction_postgresql(_: _CurrentTransaction, __: SQLCompiler, **___: Any) -> str:  # noqa: ANN401
    return "((pg_current_xact_id())::text)::bigint"


class EventRow(Base):
    """One event of a job (`seq` counts from 1 and comes from `jobs.last_seq`) or of a dataset."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("job_id", "seq"),
        CheckConstraint("(job_id IS NULL) = (seq IS NULL)", name="seq_of_job"),
        CheckConstraint("(job_id IS NULL) <> (dataset_id IS NULL)", name="of_one"),
        Index("ix_events_transaction_id_position", "transaction_id", "position"),
        Index(
            "ix_events_dataset_id",
            "dataset_id",
            sqlite_where=text("dataset_id IS NOT NULL"),
            postgresql_where=text("dataset_id IS NOT NULL"),
        ),
        # Long trainings have one event of an epoch beside a few others, which lists select.
        Index(
            "ix_events_but_epochs",
            "job_id",
            "seq",
            sqlite_where=text("type <> 'epoch.finished'"),
            postgresql_where=text("type <> 'epoch.finished'"),
        ),
        {"sqlite_autoincrement": True},  # the position of a deleted row is never used again
    )

    position: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True
    )
    transaction_id: Mapped[int] = mapped_column(
        BigInteger,
        server_default=_CurrentTransaction(),
        doc="of the transaction that inserted the row; 0 on SQLite, and after a restore",
    )
    project_id: Mapped[str | None] = mapped_column(
        String(40), doc="null: an earlier release inserted the row; the project of its job"
    )
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    dataset_id: Mapped[str | None] = mapped_column(
        String(40), doc="no foreign key: the event of a deletion outlives the dataset"
    )
    version_id: Mapped[str | None] = mapped_column(String(40))
    seq: Mapped[int | None] = mapped_column(doc="null: an event of a dataset")
    level: Mapped[Level] = mapped_column(checked_enum(Level, "level"))
    type: Mapped[str] = mapped_column(String(80))
    data: Mapped[dict[str, JsonValue]] = mapped_column(OrderedJson)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EventLog(Base):
    """The log as a whole; a single row."""

    __tablename__ = "event_log"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[str] = mapped_column(
        String(32), doc="random; positions of another generation name other rows"
    )
