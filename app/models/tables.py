"""Base models: weights that an operator brought in."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, UtcDateTime


class ModelSource(StrEnum):
    """Where weights came from."""

    FILE = "file"
    OFFICIAL = "official"


class Model(Base):
    """Weights by name, instance-wide (`project_id` null) or of one project."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(String(200), unique=True, doc="as given in a job's `model`")
    task: Mapped[str] = mapped_column(String(20))
    source: Mapped[ModelSource] = mapped_column(checked_enum(ModelSource, "source"))
    sha256: Mapped[str] = mapped_column(String(64), doc="hex; also the key in the store")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
