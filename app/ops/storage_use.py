"""The bytes in the store by use."""

from collections.abc import Mapping

from sqlalchemy import String, case, cast, func, literal, select, union_all
from sqlalchemy.orm import Session

from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.tables import Artifact
from app.datasets.tables import DatasetVersion, StoredPack
from app.models.tables import Model
from app.uploads.tables import Upload

DATASETS, MODELS, STATES, UPLOADS = "datasets", "models", "training_states", "uploads"


def stored_bytes(session: Session) -> Mapping[str, int]:
    """Return stored bytes by use: datasets, models, training states, finished uploads, artifacts.

    Equal bytes count once for each use, no matter how many jobs reference them. Reads every row
    that references bytes, so use it for an operator's command and not for requests.
    """
    is_state = (Artifact.kind == ArtifactKind.CHECKPOINT) & (Artifact.name == STATE)
    use = case((is_state, STATES), else_=cast(Artifact.kind, String))
    versions = DatasetVersion
    named = union_all(
        select(use.label("use"), Artifact.sha256, Artifact.size_bytes).distinct(),
        select(literal(MODELS), Model.sha256, Model.size_bytes).distinct(),
        select(literal(DATASETS), versions.archive_sha256, versions.archive_bytes)
        .where(versions.upload_removed_at.is_(None))
        .distinct(),
        select(literal(DATASETS), versions.pack_sha256, versions.pack_bytes)
        .where(versions.pack_sha256.is_not(None), versions.manifest_bytes.is_(None))
        .distinct(),
        select(literal(DATASETS), StoredPack.sha256, StoredPack.size_bytes).distinct(),
        select(literal(DATASETS), versions.manifest_digest, versions.manifest_bytes)
        .where(versions.manifest_bytes.is_not(None))
        .distinct(),
        select(literal(UPLOADS), Upload.sha256, Upload.size_bytes)
        .where(Upload.sha256.is_not(None))
        .distinct(),
        select(literal(DATASETS), versions.overview_sha256, versions.overview_bytes)
        .where(versions.overview_sha256.is_not(None))
        .distinct(),
    ).subquery()
    total = func.sum(named.c.size_bytes)
    rows = session.execute(select(named.c.use, total).group_by(named.c.use).order_by(named.c.use))
    return {use: int(size) for use, size in rows}
