"""The records in a database of a job's first attempt."""

from sqlalchemy import select

from app.artifacts.repository import checkpoints_of
from app.core.database import Database
from app.jobs.life.log_pieces import log_pieces
from app.jobs.tables import Epoch
from tests.worlds.rows import events_of


class FirstAttempt:
    """The records of a job's first attempt, read over a connection that is not broken."""

    def __init__(self, database: Database, job_id: str) -> None:
        self.database = database
        self.job_id = job_id

    def epochs(self) -> list[int]:
        with self.database.read() as unit:
            mine = (Epoch.job_id == self.job_id, Epoch.attempt == 1)
            return sorted(unit.session.scalars(select(Epoch.epoch).where(*mine)))

    def checkpoints(self) -> list[tuple[str, int | None]]:
        with self.database.read() as unit:
            return sorted(
                (row.name, row.epoch) for row in checkpoints_of(unit.session, self.job_id)
            )

    def events(self) -> list[str]:
        """Return the types of all events; their numbers must have no gap."""
        events = events_of(self.database, self.job_id)
        assert [event.seq for event in events] == list(range(2, len(events) + 2))  # 1 is the submit
        return [event.type for event in events]

    def log(self) -> bytes:
        with self.database.read() as unit:
            return b"".join(log_pieces(unit.session, self.job_id, 1))
