"""Append to the event log, and read it, as the tests of the log do."""

from app.core.database import Database
from app.events.log import LogPage, LogPosition, newest_sealed, read_log
from app.events.repository import append_event


def append(database: Database, job_id: str, *seqs: int) -> None:
    """Append events of a job in one transaction."""
    with database.write() as unit:
        for seq in seqs:
            append_event(unit.session, job_id, seq, "job.changed", data={"n": seq})


def page(
    database: Database,
    after: LogPosition | None = None,
    *,
    limit: int = 100,
    projects: tuple[str, ...] | None = None,
) -> LogPage:
    """Read the log in a transaction of its own."""
    with database.read() as unit:
        return read_log(unit.session, after, project_ids=projects, limit=limit)


def newest(database: Database) -> LogPosition:
    """Return the position behind the newest row that a reader may see."""
    with database.read() as unit:
        return newest_sealed(unit.session)


def seqs(read: LogPage) -> list[int | None]:
    """Return the numbers of the events that were read."""
    return [row.seq for row in read.rows]
