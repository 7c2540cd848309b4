"""Uploads as rows and stored bytes, and stand-ins for the verification process."""

import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.ids import new_id
from app.core.storage import ArtifactStore
from app.datasets.repository import NewVersion, insert_version, lock_or_insert_dataset
from app.datasets.tables import DatasetVersion, StoredPack, VersionPack
from tests.worlds.rows import Owner

READY = """
content = b"packed " + archive.read_bytes()
digest = hashlib.sha256(content).hexdigest()
file = {"path": "images/train/0.jpg", "sha256": digest, "size": len(content)}
lines = [
    {"format": 2, "task": "detect"}, {**file, "width": 64, "height": 64, "label": None},
]
manifest = "".join(json.dumps(line) + "\\n" for line in lines)
packed = {"sha256": digest, "offset": 0, "size": len(content)}
report = {
    "task": "detect", "state": "ready", "classes": ["circle", "square"],
    "splits": {"train": {"images": 4}, "val": {"images": 2}}, "findings": [],
    "finding_totals": {}, "manifest_digest": hashlib.sha256(manifest.encode()).hexdigest(),
}
(output / "pack.zip").write_bytes(content)
(output / "packed.jsonl").write_text(json.dumps(packed) + "\\n")
(output / "manifest.jsonl").write_text(manifest)
(output / "overview.bin").write_bytes(b"overview of " + archive.read_bytes())
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
HANG_EACH = """
(request.parent.parent / f"pid-{os.getpid()}").touch()
signal.pause()
"""
DIVIDING = """
(output / "progress.json").write_text('{"step": "dividing", "done": 0.25}')
signal.pause()
"""
SMALL = b"a small archive"
READY_IF_SMALL = f"if archive.read_bytes() != {SMALL!r}:\n    signal.pause()\n" + READY
HANG = """
(request.parent.parent / "pid").write_text(str(os.getpid()))
signal.pause()
"""

WAIT = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
(request.parent.parent / "pid").write_text(str(os.getpid()))
signal.sigwait({signal.SIGUSR1})
"""


def an_upload(
    database: Database,
    owner: Owner,
    *,
    name: str = "shapes",
    sha256: str = "ab" * 32,
    task: str | None = None,
    size_bytes: int = 3,
) -> DatasetVersion:
    """Add a version whose verification is pending."""
    with database.write() as unit:
        dataset = lock_or_insert_dataset(
            unit.session, owner.project_id, name, owner_id=owner.user_id
        )
        return insert_version(unit.session, dataset.id, NewVersion(sha256, size_bytes, task, {}))


def a_stored_upload(
    database: Database,
    owner: Owner,
    store: ArtifactStore,
    directory: Path,
    *,
    name: str = "shapes",
    content: bytes | None = None,
) -> DatasetVersion:
    """Add a version whose bytes are in the store."""
    archive = directory / new_id("upload")
    archive.write_bytes(content or archive.name.encode())
    stored = store.put_file(archive)
    return an_upload(database, owner, name=name, sha256=stored.sha256)


def version_row(database: Database, version_id: str) -> DatasetVersion:
    """Return the current row of a version."""
    with database.read() as unit:
        found = select(DatasetVersion).where(DatasetVersion.id == version_id)
        return unit.session.scalars(found).one()


def packs_of(session: Session, version_id: str) -> Sequence[StoredPack]:
    """Return the packs with the files of a version, the first one stored first."""
    of_version = VersionPack.version_id == version_id
    statement = select(StoredPack).join(VersionPack, VersionPack.pack_id == StoredPack.id)
    return session.scalars(statement.where(of_version).order_by(StoredPack.id)).all()


def a_process(path: Path, body: str) -> tuple[str, str]:
    """Write a program that replaces the verification process, and return its command."""
    path.write_text(
        "import hashlib, json, os, signal, sys\n"
        "from pathlib import Path\n"
        "request = Path(sys.argv[1])\n"
        "asked = json.loads(request.read_text())\n"
        "archive = Path(asked.get('archive') or asked['pack'])\n"
        "output = Path(asked['output'])\n" + body
    )
    return sys.executable, str(path)
