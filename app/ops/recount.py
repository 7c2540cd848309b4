"""Compare the counters of `usage` and `lanes` with the rows that they count, and repair them.

The triggers make a difference impossible, unless someone disabled them.
"""

from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.logging import get_logger
from app.quotas.counters import COUNTERS, TRUE_LANES, recount, true_usage

log = get_logger(__name__)


def repair_counters(database: Database) -> bool:
    """Count again if a counter is wrong, and log that. Return whether one was wrong.

    Reads one snapshot without a lock; only a repair makes writers wait.
    """
    with database.read() as unit:
        if counters_are_true(unit.session):
            return False
    with database.write() as unit:
        recount(unit.session.connection())
    log.warning("usage.repaired")
    return True


def counters_are_true(session: Session) -> bool:
    """Return whether every counter has the value that the counted rows give."""
    run = session.connection().exec_driver_sql
    columns = ", ".join(COUNTERS)
    some = " OR ".join(f"{name} <> 0" for name in COUNTERS)
    shown = run(f"SELECT subject_id, {columns} FROM usage WHERE {some}")  # noqa: S608 -- constants
    counted = run(f"SELECT * FROM ({true_usage()}) truth WHERE {some}")  # noqa: S608 -- constants
    if {tuple(row) for row in shown} != {tuple(row) for row in counted}:
        return False
    key = "queue, rank, project_id, owner_id, waiting"
    waiting = run(f"SELECT {key} FROM lanes WHERE waiting <> 0")  # noqa: S608 -- constants
    queued = run(f"SELECT {key} FROM ({TRUE_LANES}) truth")  # noqa: S608 -- constants
    return {tuple(row) for row in waiting} == {tuple(row) for row in queued}
