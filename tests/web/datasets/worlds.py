"""Datasets for the tests of their pages: verified ones, and rows without bytes."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.core.ids import new_id
from app.datasets.reports.finding_codes import Code
from app.datasets.repository import NewVersion, insert_version
from app.datasets.tables import DatasetVersion, VersionState
from tests.api.datasets.invalid_versions import an_invalid_version
from tests.api.datasets.uploading import upload, verified
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    a_zip,
    an_image,
    class_files,
    label_files,
)
from tests.worlds.rows import a_dataset
from tests.worlds.server import Api

View = dict[str, Any]
READY = {
    "state": VersionState.READY,
    "task": "detect",
    "images": {"train": 4, "val": 2},
    "manifest_digest": "cd" * 32,
}
HOSTILE = "<script>alert(1)</script>\"'&amp;"


class Datasets:
    """Makes datasets in the first user's project."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api = api
        self._folder = folder

    @cached_property
    def boxes(self) -> View:
        """A ready dataset of boxes: an image in both splits, one image without an object."""
        files = {
            **label_files("detect", train=9, val=3),
            "images/val/copy.jpg": an_image(2),
            "images/train/empty.jpg": an_image(77),
        }
        return self.uploaded(files, name="boxes")

    @cached_property
    def poses(self) -> View:
        """A ready dataset of key points."""
        return self.uploaded(label_files("pose", train=4, val=2, **POSE_KEYS), name="poses")

    @cached_property
    def folders(self) -> View:
        """A ready dataset of classification."""
        return self.uploaded(class_files(), name="folders")

    @cached_property
    def strict(self) -> View:
        """An invalid version, of which a label file has an unknown class."""
        files = {**label_files("detect", train=9, val=2), "labels/train/0003.txt": b"9 .5 .5 .1 .1"}
        return self.uploaded(files, name="strict", policy="strict")

    def uploaded(self, files: Files, *, name: str | None = None, **options: str) -> View:
        """Upload files and wait until they are verified."""
        archive = a_zip(self._folder / f"{new_id('zip')}.zip", files)
        sent = upload(self.api, archive.read_bytes(), name=name or new_id("ds"), **options)
        return verified(self.api, sent["id"])

    def verified(self, reference: str) -> View:
        """Wait until a version is verified."""
        return verified(self.api, reference)

    def invalid(self, counts: dict[Code, int], **options: Any) -> View:  # noqa: ANN401
        """Add the row of an invalid version with these findings."""
        folder = self._folder / new_id("findings")
        folder.mkdir()
        return an_invalid_version(self.api, folder, counts, options=options)

    def a_row(self, name: str, **columns: Any) -> View:  # noqa: ANN401
        """Add a dataset with one version that was not verified here."""
        rows, state = self.api.rows, columns.get("state", VersionState.READY)
        with self.api.database.write() as unit:
            dataset_id, version_id = a_dataset(
                unit.session, rows.project_id, rows.user_id, name=name, state=state
            )
            _set(unit.session, version_id, columns)
        return {"id": dataset_id, "version": version_id, "name": name}

    def another_version(self, view: View, **columns: Any) -> str:  # noqa: ANN401
        """Add a ready version to a dataset that `a_row` made; return its id."""
        with self.api.database.write() as unit:
            new = NewVersion("cd" * 32, 1, "detect", {})
            version = insert_version(unit.session, view["id"], new)
            _set(unit.session, version.id, {**READY, **columns})
            return version.id


def _set(session: Session, version_id: str, columns: dict[str, Any]) -> None:
    """Set columns of a version. One that is validating is leased, so that it is not verified."""
    leased = {"lease_expires_at": database_now(timedelta(hours=1))}
    values = {**columns, **(leased if columns.get("state") is VersionState.VALIDATING else {})}
    if values:
        session.execute(
            update(DatasetVersion).where(DatasetVersion.id == version_id).values(values)
        )
