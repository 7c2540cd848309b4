"""A verifier beside its database and store, whose process is a program of the test."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from app.core.database import Database
from app.core.storage import ArtifactStore
from app.datasets.tables import DatasetVersion
from app.datasets.verifier import Verifier
from app.settings import Settings
from app.settings.timing import Timing
from app.settings.verification import VerificationSettings
from tests.datasets.stored_uploads import a_process, a_stored_upload
from tests.waiting import eventually
from tests.worlds.rows import Owner, an_owner

PROCESSES = 2
QUICK = Timing(
    lease_seconds=3, heartbeat_seconds=0.2, self_fence_seconds=2.5, reconcile_seconds=0.1
)


@dataclass(frozen=True)
class Verifying:
    """What a verifier needs, in one folder."""

    database: Database
    settings: Settings
    owner: Owner
    folder: Path

    @classmethod
    def in_folder(cls, database: Database, folder: Path) -> "Verifying":
        """Return a world with quick leases and two verifications at once."""
        at_once = VerificationSettings(processes=PROCESSES)
        settings = Settings(home=folder / "home", timing=QUICK, verification=at_once)
        return cls(database, settings, an_owner(database), folder)

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore.from_settings(self.settings)

    def verifier(self, body: str) -> Verifier:
        """Return a verifier whose process runs the given lines, and notes its id outside."""
        command = a_process(self.folder / "verification.py", body)
        settings = self.settings.model_copy(update={"cage": "off"})
        return Verifier(self.database, self.store, settings, command=command)

    def real_verifier(self) -> Verifier:
        """Return a verifier that starts the real process."""
        return Verifier(self.database, self.store, self.settings)

    def upload(self, name: str = "shapes", content: bytes | None = None) -> DatasetVersion:
        """Add a version whose bytes are in the store."""
        return a_stored_upload(
            self.database, self.owner, self.store, self.folder, name=name, content=content
        )

    def pids(self, count: int) -> list[int]:
        """Return the ids of the processes that hang, once there are `count` of them."""
        spool = self.settings.home / "spool"
        pids = [int(path.name.removeprefix("pid-")) for path in spool.glob("pid-*")]
        return pids if len(pids) == count else []

    def running(self) -> int:
        """Return the number of versions under a lease."""
        with self.database.read() as unit:
            held = select(func.count()).where(DatasetVersion.lease_expires_at.is_not(None))
            return unit.session.scalars(held).one()


def pid_in(settings: Settings) -> int:
    """Return the id of the process that hangs or waits, once it has written it."""
    path = settings.home / "spool" / "pid"
    text = eventually(lambda: path.exists() and path.read_text(), within=20)
    return int(text)


def lives(pid: int) -> bool:
    """Return whether a process exists."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
