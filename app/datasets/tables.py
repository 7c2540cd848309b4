"""Datasets, their versions, and the packs with the files of these.

A ready version never changes. A pack belongs to a project; its versions share it.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import byte_ordered, checked_enum
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
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        Index("ix_datasets_project_id_id", "project_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DatasetWord(Base):
    """A word of a dataset's name, by which a search finds it (`app.core.words`)."""

    __tablename__ = "dataset_words"
    __table_args__ = (Index("ix_dataset_words_word", "project_id", "word", "dataset_id"),)

    dataset_id: Mapped[str] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    )
    word: Mapped[str] = mapped_column(byte_ordered(64), primary_key=True, doc="folded")
    project_id: Mapped[str] = mapped_column(String(40), doc="the dataset's")


class DatasetVersion(LeasedRow, Base):
    """One upload and the result of its verification."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        CheckConstraint(
            "(state = 'ready') = (manifest_digest IS NOT NULL)", name="ready_has_a_manifest"
        ),
        CheckConstraint(
            "state = 'validating' OR lease_expires_at IS NULL", name="lease_while_validating"
        ),
        Index(
            "ix_dataset_versions_kept_uploads",
            "state",
            "upload_used_at",
            sqlite_where=text("upload_removed_at IS NULL"),
            postgresql_where=text("upload_removed_at IS NULL"),
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
    recipe: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson, doc="from what the version is made; null: from its archive alone"
    )
    listing_sha256: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="hex; the client's list of files, if it sent one"
    )
    upload_used_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime,
        doc="when the archive was uploaded or read last; null: an earlier release added the row",
    )
    upload_removed_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime,
        doc="when this row stopped to reference the bytes of the archive; null: it references them",
    )
    manifest_digest: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="hex; SHA-256 of the manifest"
    )
    manifest_bytes: Mapped[int | None] = mapped_column(
        BigInteger,
        doc="null: not ready, or verified by an earlier release: the store has no manifest yet",
    )
    pack_sha256: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="hex; the one pack of a version of an earlier release"
    )
    pack_bytes: Mapped[int | None] = mapped_column(
        BigInteger, doc="size of that pack, or of all files of the version"
    )
    changes: Mapped[dict[str, int] | None] = mapped_column(
        OrderedJson, doc="numbers of files that differ from the ready version before this one"
    )
    overview_sha256: Mapped[str | None] = mapped_column(
        String(64),
        index=True,
        doc="hex; samples, statistics and duplicates; null: not ready, or of an earlier release",
    )
    overview_bytes: Mapped[int | None] = mapped_column(BigInteger)
    classes: Mapped[list[str] | None] = mapped_column(OrderedJson)
    class_count: Mapped[int | None] = mapped_column(doc="number of `classes`")
    first_classes: Mapped[list[str] | None] = mapped_column(
        OrderedJson, doc="the first of `classes`, for lists"
    )
    images: Mapped[dict[str, int] | None] = mapped_column(OrderedJson, doc="images per split")
    report: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson, doc="without the training facts"
    )
    finding_counts: Mapped[dict[str, int] | None] = mapped_column(
        OrderedJson, doc="findings by severity, for lists; null: not verified"
    )
    findings_sha256: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="hex; all findings; null: the report has all of them"
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
    progress: Mapped[dict[str, JsonValue] | None] = mapped_column(
        OrderedJson,
        doc="step of the running verification and the share of it that is done, from 0 to 1",
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class StoredPack(Base):
    """A pack whose bytes are in the store. It is removed when no version uses it."""

    __tablename__ = "packs"
    __table_args__ = (UniqueConstraint("project_id", "sha256"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    sha256: Mapped[str] = mapped_column(
        String(64), index=True, doc="hex; also the key in the store"
    )
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VersionPack(Base):
    """A pack that holds files of a version."""

    __tablename__ = "version_packs"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True
    )
    pack_id: Mapped[str] = mapped_column(ForeignKey("packs.id"), primary_key=True, index=True)


class PackedBytes(Base):
    """The bytes of one file inside a pack."""

    __tablename__ = "packed_bytes"

    pack_id: Mapped[str] = mapped_column(
        ForeignKey("packs.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True, index=True, doc="hex")
    offset: Mapped[int] = mapped_column(BigInteger, doc="position in the pack, in bytes")
    size: Mapped[int] = mapped_column(BigInteger, doc="in bytes")


class VerificationTurn(Base):
    """When a verifier last claimed a version of a project. The next one is of another project."""

    __tablename__ = "verification_turns"

    project_id: Mapped[str] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    )
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime)
