"""Uploads as rows and stored bytes, and stand-ins for the verification process."""

import sys
from pathlib import Path

from sqlalchemy import select

from app.core.database import Database
from app.core.ids import new_id
from app.core.storage import ArtifactStore
from app.datasets.repository import NewVersion, insert_version, lock_or_insert_dataset
from app.datasets.tables import DatasetVersion
from tests.worlds.rows import Owner

READY = """
report = {
    "task": "detect", "state": "ready", "classes": ["circle", "square"],
    "splits": {"train": {"images": 4}, "val": {"images": 2}},
    "findings": [], "finding_totals": {}, "manifest_digest": "cd" * 32,
}
(output / "pack.zip").write_bytes(b"packed " + archive.read_bytes())
(output / "report.json").write_text(json.dumps(report))
"""
INVALID = """
finding = {
    "code": "label-class", "severity": "error", "message": "7 is no class",
    "file": "labels/train/a.txt", "line": 3,
}
report = {"state": "invalid", "findings": [finding], "finding_totals": {"label-class": 1}}
(output / "report.json").write_text(json.dumps(report))
"""
CRASH = "os.abort()\n"
HANG = """
(request.parent.parent / "pid").write_text(str(os.getpid()))
signal.pause()
"""


def an_upload(
    database: Database,
    owner: Owner,
    *,
    name: str = "shapes",
    sha256: str = "ab" * 32,
    task: str | None = None,
) -> DatasetVersion:
    """Add a version whose verification is pending."""
    with database.write() as unit:
        dataset = lock_or_insert_dataset(
            unit.session, owner.project_id, name, owner_id=owner.user_id
        )
        return insert_version(unit.session, dataset.id, NewVersion(sha256, 3, task, {}))


def a_stored_upload(
    database: Database, owner: Owner, store: ArtifactStore, directory: Path, *, name: str = "shapes"
) -> DatasetVersion:
    """Add a version whose bytes are in the store."""
    archive = directory / new_id("upload")
    archive.write_bytes(archive.name.encode())
    stored = store.put_file(archive)
    return an_upload(database, owner, name=name, sha256=stored.sha256)


def version_row(database: Database, version_id: str) -> DatasetVersion:
    """Return the current row of a version."""
    with database.read() as unit:
        found = select(DatasetVersion).where(DatasetVersion.id == version_id)
        return unit.session.scalars(found).one()


def a_process(path: Path, body: str) -> tuple[str, str]:
    """Write a program that replaces the verification process, and return its command."""
    path.write_text(
        "import json, os, signal, sys\n"
        "from pathlib import Path\n"
        "request = Path(sys.argv[1])\n"
        "asked = json.loads(request.read_text())\n"
        "archive = Path(asked.get('archive') or asked['pack'])\n"
        "output = Path(asked['output'])\n" + body
    )
    return sys.executable, str(path)
