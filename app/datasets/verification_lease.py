"""Holding a version while it is verified: a thread renews its lease until the block ends."""

import threading
import time
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from app.core.background import Background
from app.core.database import Database
from app.core.logging import get_logger
from app.datasets.repository import VerificationHold, renew_verification
from app.settings import Timing

log = get_logger(__name__)


class VerificationLease(Background):
    """Renews a claimed version's lease; `is_lost` says that somebody else may verify it now."""

    def __init__(self, database: Database, hold: VerificationHold, timing: Timing) -> None:
        super().__init__("verification-lease")
        self._database = database
        self._hold = hold
        self._timing = timing
        self._lost = threading.Event()

    @property
    def is_lost(self) -> bool:
        """Whether the version is not ours any more, or may not be."""
        return self._lost.is_set()

    def _run(self) -> None:
        renewed_at = time.monotonic()
        while not self._stopping.wait(self._timing.heartbeat_seconds):
            asked_at = time.monotonic()
            try:
                if not self._renew():
                    break
                renewed_at = asked_at
            except SQLAlchemyError as error:
                log.warning("verification.lease_unrenewed", error=type(error).__name__)
                if time.monotonic() - renewed_at > self._timing.self_fence_seconds:
                    break
        else:
            return
        log.warning("verification.lease_lost", version_id=self._hold.version_id)
        self._lost.set()

    def _renew(self) -> bool:
        lease = timedelta(seconds=self._timing.lease_seconds)
        with self._database.write() as unit:
            return renew_verification(unit.session, self._hold, lease=lease)
