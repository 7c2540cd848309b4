"""The event log of jobs; the events of a job are numbered without gaps."""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime


class Level(StrEnum):
    """The severity of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventRow(Base):
    """One event of one job; `seq` counts from 1 and comes from `jobs.last_seq`."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    level: Mapped[Level] = mapped_column(checked_enum(Level, "level"))
    type: Mapped[str] = mapped_column(String(80))
    data: Mapped[dict[str, JsonValue]] = mapped_column(OrderedJson)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
