"""Datasets and their versions. A ready version never changes."""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime
from app.core.leased_rows import LeasedRow


class VersionState(StrEnum):
    """The state of a version's verification."""

    VALIDATING = "validating"
    READY = "ready"
    INVALID = "invalid"


class Dataset(Base):
    """A named series of versions of one task."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DatasetVersion(LeasedRow, Base):
    """One upload and the result of its verification."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        CheckConstraint("(state = 'ready') = (pack_sha256 IS NOT NULL)", name="ready_has_a_pack"),
        CheckConstraint(
            "state = 'validating' OR lease_expires_at IS NULL", name="lease_while_validating"
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    number: Mapped[int] = mapped_column(doc="counts from 1 within the dataset")
    state: Mapped[VersionState] = mapped_column(checked_enum(VersionState, "state"), index=True)
    declared_task: Mapped[str | None] = mapped_column(String(20), doc="as given with the upload")
    options: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson, doc="how the archive is read; null: an upload to an earlier release"
    )
    task: Mapped[str | None] = mapped_column(String(20), doc="known once ready")
    archive_sha256: Mapped[str] = mapped_column(
        String(64), index=True, doc="hex; the uploaded archive"
    )
    archive_bytes: Mapped[int] = mapped_column(BigInteger)
    manifest_digest: Mapped[str | None] = mapped_column(
        String(64), doc="hex; SHA-256 of the pack's manifest"
    )
    pack_sha256: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="hex; the pack that workers fetch"
    )
    pack_bytes: Mapped[int | None] = mapped_column(BigInteger)
    classes: Mapped[list[str] | None] = mapped_column(OrderedJson)
    images: Mapped[dict[str, int] | None] = mapped_column(OrderedJson, doc="images per split")
    report: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson, doc="without the training facts"
    )
    training_facts: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson,
        doc="null: not ready, or verified by an earlier release and not yet read from the pack",
    )
    attempt: Mapped[int] = mapped_column(
        doc="number of verifications started; the fencing token of the lease"
    )
    crashes: Mapped[int] = mapped_column(
        server_default="0", doc="number of verifications that failed, alone or with their server"
    )
    lease_expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="null: no verifier has claimed it"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
