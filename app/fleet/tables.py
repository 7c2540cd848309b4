"""Workers: one row per slot, kept when the slot restarts."""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, Json, UtcDateTime


class Cordon(StrEnum):
    """How a slot that takes no more jobs treats its running one: it finishes it, or stops it."""

    CORDONED = "cordoned"
    DRAINING = "draining"


class Presence(StrEnum):
    """The state of a slot: live, silent (without a recent heartbeat) or stopped (shut down)."""

    LIVE = "live"
    SILENT = "silent"
    STOPPED = "stopped"

    @classmethod
    def of(cls, *, is_stopped: bool, is_live: bool) -> "Presence":
        """Return the state of a slot; `is_live`: its last heartbeat is recent."""
        if is_stopped:
            return cls.STOPPED
        return cls.LIVE if is_live else cls.SILENT


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
    cordon: Mapped[Cordon | None] = mapped_column(
        checked_enum(Cordon, "cordon"), doc="set by an administrator; null: the slot takes jobs"
    )
    use: Mapped[dict[str, JsonValue] | None] = mapped_column(
        Json, doc="of the slot's devices at the last heartbeat: see `SlotUse`"
    )
    use_means: Mapped[list[float | None] | None] = mapped_column(
        Json, doc="utilization in the last 15 minutes, as means of 30 s, oldest first"
    )
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="null while its process runs"
    )

    @property
    def name(self) -> str:
        """Machine and slot, such as `gpu-a/0`."""
        return slot_name(self.host, self.slot)


def slot_name(host: str, slot: str) -> str:
    """Return machine and slot, such as `gpu-a/0`; the host also names the process."""
    return f"{host.partition(' (pid ')[0]}/{slot}"
