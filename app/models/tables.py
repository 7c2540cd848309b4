"""Base models: weights that an operator added, or that a user sent to a project."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime
from app.core.leased_rows import LeasedRow


class ModelSource(StrEnum):
    """The origin of weights: a file of the operator, an official download, or a user's upload."""

    FILE = "file"
    OFFICIAL = "official"
    UPLOAD = "upload"


class ModelState(StrEnum):
    """The state of the inspection of weights."""

    INSPECTING = "inspecting"
    READY = "ready"
    REFUSED = "refused"


class Model(LeasedRow, Base):
    """Named weights of the whole instance (`project_id` null) or of one project."""

    __tablename__ = "models"
    __table_args__ = (
        CheckConstraint("state <> 'ready' OR task IS NOT NULL", name="ready_has_a_task"),
        CheckConstraint(
            "state = 'inspecting' OR lease_expires_at IS NULL", name="lease_while_inspecting"
        ),
        Index(
            "uq_models_name",
            "name",
            unique=True,
            sqlite_where=text("project_id IS NULL"),
            postgresql_where=text("project_id IS NULL"),
        ),
        Index("uq_models_project_id_name", "project_id", "name", unique=True),
        Index("ix_models_name_id", "name", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"))
    owner_id: Mapped[str | None] = mapped_column(
        ForeignKey("users.id"), doc="the user who sent them; null for the whole instance"
    )
    name: Mapped[str] = mapped_column(String(200), doc="as given in a job's `model`")
    state: Mapped[ModelState] = mapped_column(
        checked_enum(ModelState, "state"), server_default=ModelState.INSPECTING.value
    )
    task: Mapped[str | None] = mapped_column(
        String(20), doc="declared by the operator or the official name, until the inspection"
    )
    architecture: Mapped[str | None] = mapped_column(
        String(100), doc="shipped yaml of the same structure, `yolo26n.yaml`; null: none or unknown"
    )
    classes: Mapped[list[str] | None] = mapped_column(OrderedJson, doc="known once ready")
    message: Mapped[str | None] = mapped_column(Text, doc="reason for the refusal")
    source: Mapped[ModelSource] = mapped_column(checked_enum(ModelSource, "source"))
    sha256: Mapped[str] = mapped_column(
        String(64), index=True, doc="hex; also the key in the store"
    )
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    vouched: Mapped[bool | None] = mapped_column(
        doc="whether the bytes had a digest that was known before; null: the operator's own file"
    )
    attempt: Mapped[int] = mapped_column(
        server_default="0", doc="number of inspections started; fencing token of the lease"
    )
    crashes: Mapped[int] = mapped_column(
        server_default="0", doc="number of inspections that failed"
    )
    lease_expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="null: no worker has claimed it"
    )
    inspected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
