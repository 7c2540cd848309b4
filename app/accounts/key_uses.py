"""When each key was used last: noted by requests, written by a thread once a minute."""

import threading
from typing import Final

from app.accounts.key_repository import record_uses
from app.core.background import Background
from app.core.database import OUTAGE, Database
from app.core.logging import get_logger

log = get_logger(__name__)

INTERVAL_SECONDS: Final = 60.0
KEYS_AT_ONCE: Final = 500
"""Keys per transaction, so that none holds up other writers for long."""


class KeyUses(Background):
    """Writes the time of the last use of keys while the `with` block runs.

    A request only adds to a set in memory. A crash loses the uses of the last minute.
    """

    def __init__(self, database: Database) -> None:
        super().__init__("key-uses")
        self._database = database
        self._lock = threading.Lock()
        self._used: set[str] = set()

    def note(self, public_id: str) -> None:
        """Note that the key with this public id is used now."""
        with self._lock:
            self._used.add(public_id)

    def write(self) -> None:
        """Write all uses that were noted since the last call."""
        with self._lock:
            used, self._used = sorted(self._used), set()
        for start in range(0, len(used), KEYS_AT_ONCE):
            batch = used[start : start + KEYS_AT_ONCE]
            try:
                with self._database.write() as unit:
                    record_uses(unit.session, batch)
            except OUTAGE as error:
                log.warning("key_uses.not_written", keys=len(batch), error=type(error).__name__)
            except Exception:  # outermost loop of the thread: it must go on
                log.exception("key_uses.failed")

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            self.write()
        self.write()
