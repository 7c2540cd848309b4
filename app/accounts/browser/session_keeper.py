"""The thread that writes when sessions were last used, and deletes expired ones."""

import threading
import time
from datetime import timedelta
from typing import Final

from app.accounts.browser.sessions import delete_expired_sessions, note_seen
from app.core.background import Background
from app.core.database import OUTAGE, Database
from app.core.logging import get_logger

log = get_logger(__name__)

WRITE_SECONDS: Final = 15.0
EXPIRE_SECONDS: Final = 600.0
AT_ONCE: Final = 500


class SessionKeeper(Background):
    """Writes `last_seen_at` in batches while its `with` block runs: requests never wait for it.

    A server that is killed loses the last seconds of it.

    Args:
        database: with the sessions.
        idle: after which an unused session ends.
    """

    def __init__(self, database: Database, *, idle: timedelta) -> None:
        super().__init__("session-keeper")
        self._database = database
        self._idle = idle
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._expire_at = time.monotonic()

    def note(self, session_id: str) -> None:
        """Remember that a session was used just now."""
        with self._lock:
            self._seen.add(session_id)

    def write(self) -> None:
        """Write what was noted."""
        while ids := self._taken():
            with self._database.write() as unit:
                note_seen(unit.session, ids)

    def expire(self) -> None:
        """Delete expired sessions, if that was not done in the last minutes."""
        if time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + EXPIRE_SECONDS
            with self._database.write() as unit:
                delete_expired_sessions(unit.session, idle=self._idle)

    def _taken(self) -> list[str]:
        with self._lock:
            return [self._seen.pop() for _ in range(min(AT_ONCE, len(self._seen)))]

    def _run(self) -> None:
        is_stopping = False
        while not is_stopping:
            is_stopping = self._stopping.wait(WRITE_SECONDS)
            try:
                self.write()
                if not is_stopping:
                    self.expire()
            except OUTAGE as error:
                log.warning("sessions.database_unavailable", error=type(error).__name__)
            except Exception:  # outermost loop of the thread: it must go on
                log.exception("sessions.failed")
