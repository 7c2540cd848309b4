"""The event log after a dump was restored into another PostgreSQL cluster.

Every cluster counts its transactions from the beginning. Rows that were inserted in a cluster that
had counted further would stay invisible to readers until this one has caught up, and new rows would
come before them. Such rows are found when a server starts.
"""

import secrets
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.logging import get_logger

LOCK_KEY: Final = 0x6576_656E_7473
"""Key of the lock that servers take to repair the log: "events" as a number."""

_IS_FOREIGN: Final = text(
    "SELECT EXISTS (SELECT 1 FROM events "
    "WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
)
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:key)")
_FORGET_TRANSACTIONS: Final = text("UPDATE events SET transaction_id = 0 WHERE transaction_id <> 0")
_RENEW: Final = text("UPDATE event_log SET generation = :generation")

log = get_logger(__name__)


def repair_restored_log(database: Database) -> bool:
    """Order the log of another cluster by its row numbers; return whether it was one.

    Every row is rewritten in one transaction, and the log gets a new generation: positions that
    clients still hold have a gap. Without such rows it takes one look at an index. Servers that
    start at once take turns, and only the first one writes.
    """
    if database.is_sqlite:
        return False
    with database.read() as unit:
        if not _is_foreign(unit.session):
            return False
    url = database.url.render_as_string(hide_password=False)
    patient = Database(url, pool_size=1, patient=True)
    try:
        with patient.write() as unit:
            unit.session.execute(_LOCK, {"key": LOCK_KEY})
            if not _is_foreign(unit.session):
                return False
            rows = unit.session.connection().execute(_FORGET_TRANSACTIONS).rowcount
            unit.session.execute(_RENEW, {"generation": secrets.token_hex(8)})
    finally:
        patient.dispose()
    log.warning("event_log.restored_from_another_cluster", rows=rows)
    return True


def _is_foreign(session: Session) -> bool:
    """Return whether the log has transactions that this cluster has not begun yet."""
    return bool(session.scalar(_IS_FOREIGN))
