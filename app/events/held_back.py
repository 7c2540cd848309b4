"""Warns of a transaction on PostgreSQL that holds back the readers of the event log.

Readers see no row that is newer than a transaction that still runs (`app.events.log`), whatever
that transaction does, and also if it belongs to another database of the cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core.background import Background
from app.core.database import OUTAGE, Database
from app.core.logging import first_line, get_logger

LONGEST_SECONDS: Final = 5.0

_OLDEST: Final = text(
    "SELECT oldest, EXISTS (SELECT 1 FROM events WHERE transaction_id >= oldest) AS holds_back "
    "FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest) AS now"
)
_ACTIVITY: Final = text(
    "SELECT pid, application_name, state, "
    "EXTRACT(EPOCH FROM clock_timestamp() - xact_start)::float AS seconds FROM pg_stat_activity "
    "WHERE backend_xid::text = (CAST(:oldest AS bigint) % 4294967296)::text"
)

log = get_logger(__name__)


@dataclass(frozen=True)
class HoldingTransaction:
    """The oldest transaction that runs, if rows of the log wait for its end.

    `holder` has what `pg_stat_activity` shows of it: nothing if this role may not see it, or if it
    is a prepared transaction.
    """

    transaction_id: int
    holder: Mapping[str, object]


def held_back(session: Session) -> HoldingTransaction | None:
    """Return the transaction that keeps rows of the log from readers now, if there is one."""
    now = session.execute(_OLDEST).one()
    if not now.holds_back:
        return None
    found = session.execute(_ACTIVITY, {"oldest": now.oldest}).mappings().first()
    return HoldingTransaction(now.oldest, dict(found or {}))


class HeldBackWatch(Background):
    """Looks every five seconds, and logs a transaction that was there at two looks, once."""

    def __init__(self, database: Database) -> None:
        super().__init__("event log watch")
        self._database = database
        self._seen: int | None = None
        self._logged: int | None = None

    def _run(self) -> None:
        if self._database.is_sqlite:
            return
        while not self._stopping.wait(LONGEST_SECONDS):
            try:
                self.look()
            except OUTAGE as error:
                log.warning("event_log.watch_failed", error=first_line(error))

    def look(self) -> None:
        """Compare with the previous look."""
        with self._database.read() as unit:
            held = held_back(unit.session)
        if held is not None and held.transaction_id == self._seen != self._logged:
            self._logged = held.transaction_id
            log.warning(
                "event_log.held_back", transaction_id=held.transaction_id, **dict(held.holder)
            )
        self._seen = None if held is None else held.transaction_id
