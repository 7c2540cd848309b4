"""The thread that keeps the audit log: appends records to the chain, and removes old ones."""

import time
from datetime import timedelta
from typing import Final

from app.audit.chain import chain_end, remove_records, seal_records
from app.core.background import Background
from app.core.database import OUTAGE, Database
from app.core.logging import get_logger

log = get_logger(__name__)

SEAL_SECONDS: Final = 2.0
UPKEEP_SECONDS: Final = 3600.0


class AuditKeeper(Background):
    """Keeps the audit log while its `with` block runs; several servers may do so at once.

    Args:
        database: with the audit log.
        keep: how long records are kept; None for ever.
    """

    def __init__(self, database: Database, *, keep: timedelta | None) -> None:
        super().__init__("audit-keeper")
        self._database = database
        self._keep = keep
        self._upkeep_at = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.wait(SEAL_SECONDS):
            try:
                self._keep_once()
            except OUTAGE as error:
                log.warning("audit.database_unavailable", error=type(error).__name__)
            except Exception:  # outermost loop of the thread: records must not wait for a restart
                log.exception("audit.failed")

    def _keep_once(self) -> None:
        while seal_records(self._database) and not self._stopping.is_set():
            pass
        if time.monotonic() < self._upkeep_at:
            return
        self._upkeep_at = time.monotonic() + UPKEEP_SECONDS
        while self._keep is not None and not self._stopping.is_set():
            removed = remove_records(self._database, after=self._keep)
            if not removed:
                break
            log.info("audit.removed", records=removed)
        with self._database.read() as unit:
            log.info("audit.end", end=str(chain_end(unit.session)))
