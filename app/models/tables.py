"""Base models: weights that an operator brought in."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime
from app.core.leased_rows import LeasedRow


class ModelSource(StrEnum):
    """Where weights came from."""

    FILE = "file"
    OFFICIAL = "official"


class ModelState(StrEnum):
    """Where the inspection of weights stands."""

    INSPECTING = "inspecting"
    READY = "ready"
    REFUSED = "refused"


class Model(LeasedRow, Base):
    """Weights by name, instance-wide (`project_id` null) or of one project."""

    __tablename__ = "models"
    __table_args__ = (
        CheckConstraint("state <> 'ready' OR task IS NOT NULL", name="ready_has_a_task"),
        CheckConstraint(
            "state = 'inspecting' OR lease_expires_at IS NULL", name="lease_while_inspecting"
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(String(200), unique=True, doc="as given in a job's `model`")
    state: Mapped[ModelState] = mapped_column(
        checked_enum(ModelState, "state"), server_default=ModelState.INSPECTING.value
    )
    task: Mapped[str | None] = mapped_column(
        String(20), doc="as the operator or the official name says, until a trainer has looked"
    )
    architecture: Mapped[str | None] = mapped_column(
        String(100), doc="the shipped yaml that it is, `yolo26n.yaml`; null: another, or not known"
    )
    classes: Mapped[list[str] | None] = mapped_column(OrderedJson, doc="known once ready")
    message: Mapped[str | None] = mapped_column(Text, doc="why it was refused")
    source: Mapped[ModelSource] = mapped_column(checked_enum(ModelSource, "source"))
    sha256: Mapped[str] = mapped_column(
        String(64), index=True, doc="hex; also the key in the store"
    )
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(
        server_default="0", doc="inspections begun; the fencing token of the lease"
    )
    crashes: Mapped[int] = mapped_column(server_default="0", doc="inspections that broke off")
    lease_expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="null: nobody inspects it now"
    )
    inspected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
