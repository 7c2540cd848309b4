"""Stored bytes by use, on both databases."""

from sqlalchemy import update

from app.artifacts.names import ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.database import database_now
from app.core.storage import StoredObject
from app.datasets.tables import DatasetVersion
from app.ops.storage_use import stored_bytes
from tests.models.builders import a_model
from tests.ops.stored_bytes import Instance
from tests.worlds.rows import a_job, some_rows


def use_of(instance: Instance) -> dict[str, int]:
    with instance.database.read() as unit:
        return dict(stored_bytes(unit.session))


def an_artifact(
    instance: Instance, job_id: str, name: str, *, size: int, kind: ArtifactKind
) -> None:
    """Add an artifact's row; equal sizes stand for equal bytes."""
    with instance.database.write() as unit:
        stored = StoredObject(f"{size:064x}", size)
        insert_artifact(unit.session, job_id, stored, attempt=1, kind=kind, name=name, epoch=1)


class TestStoredBytes:
    def test_stored_bytes_are_counted_by_use(self, instance: Instance) -> None:
        job_id = a_job(instance.database, some_rows(instance.database))
        before = use_of(instance)

        an_artifact(instance, job_id, "state.pt", size=400, kind=ArtifactKind.CHECKPOINT)
        an_artifact(instance, job_id, "last.pt", size=30, kind=ArtifactKind.CHECKPOINT)
        an_artifact(instance, job_id, "best.pt", size=20, kind=ArtifactKind.WEIGHTS)
        a_model(instance.database, "mine.pt")

        assert before.keys() == {"datasets"}
        assert use_of(instance) == before | {
            "training_states": 400,
            "checkpoint": 30,
            "weights": 20,
            "models": 10,
        }

    def test_an_upload_that_is_no_longer_kept_is_not_counted(self, instance: Instance) -> None:
        some_rows(instance.database)
        with instance.database.write() as unit:
            removed = {"archive_sha256": "cd" * 32, "archive_bytes": 500}
            unit.session.execute(
                update(DatasetVersion).values(upload_removed_at=database_now(), **removed)
            )

        assert use_of(instance) == {"datasets": 1}, "the pack"

    def test_bytes_of_a_state_that_two_jobs_reference_count_once(self, instance: Instance) -> None:
        rows = some_rows(instance.database)

        for job_id in (a_job(instance.database, rows), a_job(instance.database, rows)):
            an_artifact(instance, job_id, "state.pt", size=400, kind=ArtifactKind.CHECKPOINT)

        assert use_of(instance)["training_states"] == 400
