"""Workers: one row per slot, kept when the slot restarts."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, Json, UtcDateTime


class Worker(Base):
    """A slot: the GPUs (or the CPU) that one Celery process uses.

    The id of a slot never changes; each start of its process has a new `incarnation`. When an
    incarnation registers, it ends the running attempt of an earlier incarnation.
    """

    __tablename__ = "workers"
    __table_args__ = (UniqueConstraint("node", "slot"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    node: Mapped[str] = mapped_column(String(40), doc="random id kept in the worker's home")
    slot: Mapped[str] = mapped_column(String(40), doc='"cpu", or GPU indices such as "0" or "2,3"')
    incarnation: Mapped[str] = mapped_column(String(40))
    host: Mapped[str] = mapped_column(String(255))
    queues: Mapped[list[str]] = mapped_column(Json)
    gpus: Mapped[int]
    devices: Mapped[list[dict[str, JsonValue]]] = mapped_column(
        Json, doc="name and memory_bytes of each GPU of the slot"
    )
    plugins: Mapped[list[dict[str, JsonValue]]] = mapped_column(
        Json,
        # Schemas are long, and every status of a waiting job reads the slots.
        deferred=True,
        deferred_raiseload=True,
        doc="the trainer plugins that are installed there: see `ReportedPlugin`",
    )
    plugin_names: Mapped[list[str]] = mapped_column(
        Json, server_default="[]", doc="names of the `plugins` that can be used"
    )
    version: Mapped[str] = mapped_column(String(40))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="null while its process runs"
    )
