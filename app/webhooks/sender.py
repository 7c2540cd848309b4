"""The threads that send webhooks, in every server."""

import random
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

from app.core.background import Background
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE, Database
from app.core.logging import get_logger
from app.settings import Settings
from app.webhooks.deliveries import (
    ClaimedDelivery,
    claim_delivery,
    conclude,
    delete_old_deliveries,
    due_webhooks,
    expire_deliveries,
    release_delivery,
)
from app.webhooks.destinations import DestinationRules, Resolver, SystemResolver
from app.webhooks.fan_out import fan_out
from app.webhooks.schedule import delay_after
from app.webhooks.sending import Interrupted, send

log = get_logger(__name__)

POLL_SECONDS: Final = 1.0
UPKEEP_SECONDS: Final = 600.0
THREADS: Final = 16
PER_WEBHOOK: Final = 2
FOR_FAILING: Final = 4
"""Of the threads of a server, at most this number wait for receivers that failed before."""


@dataclass(frozen=True)
class _Running:
    """A send that has not ended."""

    webhook_id: str
    is_failing: bool


class Sender(Background):
    """Turns events into deliveries and sends them while its `with` block runs.

    Several servers may do so at once: a delivery is sent under a lease.

    Args:
        database: with log, webhooks and deliveries.
        settings: the rules of destinations, the retention, and the path prefix.
        resolver: finds the addresses of receivers.
        tls: checks the certificates of receivers. Default: the authorities of this machine.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__("webhook-sender")
        self.rules = DestinationRules(settings.webhooks, resolver or SystemResolver())
        self.database = database
        self._path_prefix = settings.path_prefix
        self._keep = timedelta(days=settings.webhooks.delivery_days)
        self._given_tls = tls
        self._awake = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook-sender")
        self._last_served = ""
        self._upkeep_at = time.monotonic()

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self._pool.shutdown()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Read the authorities when the first message is sent: it takes a while."""
        return self._given_tls or ssl.create_default_context()

    def wake(self) -> None:
        """Look for due deliveries now. Returns at once."""
        self._awake.set()

    def _stop(self) -> None:
        super()._stop()
        self._awake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                self.work()
            except OUTAGE as error:
                log.warning("webhooks.database_unavailable", error=type(error).__name__)
            except Exception:  # outermost loop of the thread: webhooks must not wait for a restart
                log.exception("webhooks.failed")
            self._awake.wait(POLL_SECONDS)

    def work(self) -> None:
        """Read the log to its end, start what is due, and remove what is old."""
        while fan_out(self.database, path_prefix=self._path_prefix):
            if self._stopping.is_set():
                return
        while self._start_some():
            pass
        if time.monotonic() >= self._upkeep_at:
            self._upkeep_at = time.monotonic() + UPKEEP_SECONDS
            self._keep_up()

    def _start_some(self) -> bool:
        """Start one send for each webhook that has a due one, as far as there are free threads."""
        with self._lock:
            running = list(self._running.values())
        counts = [each.webhook_id for each in running]
        busy = {each for each in counts if counts.count(each) >= PER_WEBHOOK}
        for_failing = FOR_FAILING - sum(each.is_failing for each in running)
        free = THREADS - len(running)
        if free <= 0 or self._stopping.is_set():
            return False
        with self.database.read() as unit:
            due = due_webhooks(
                unit.session,
                after=self._last_served,
                excluding=busy,
                failing=for_failing > 0,
                limit=free,
            )
        has_started = False
        for webhook_id, is_failing in due:
            if is_failing and for_failing <= 0:
                continue
            for_failing -= is_failing
            self._last_served = webhook_id
            has_started |= self._start(_Running(webhook_id, is_failing))
        return has_started

    def _start(self, running: _Running) -> bool:
        with self.database.write() as unit:
            claimed = claim_delivery(unit.session, running.webhook_id)
        if claimed is None:  # another server was faster
            return False
        with self._lock:
            self._running[claimed.id] = running
        self._pool.submit(self._send, claimed)
        return True

    def _send(self, claimed: ClaimedDelivery) -> None:
        try:
            self._send_and_record(claimed)
        except OUTAGE as error:  # its lease expires, and it is sent again
            log.warning("webhooks.database_unavailable", error=type(error).__name__)
        except Exception:  # outermost code of the thread
            log.exception("webhook.not_sent", webhook_id=claimed.webhook_id, delivery_id=claimed.id)
        finally:
            with self._lock:
                del self._running[claimed.id]
            self._awake.set()

    def _send_and_record(self, claimed: ClaimedDelivery) -> None:
        try:
            sent = send(claimed, self.rules, self._tls, self._stopping.is_set)
        except Interrupted:
            with self.database.write() as unit:
                release_delivery(unit.session, claimed)
            return
        crash_point(CrashPoint.DELIVERY_SENT)
        delay = delay_after(claimed.attempts, random.uniform)
        with self.database.write() as unit:
            verdict = conclude(unit.session, claimed, sent, delay=delay)
        if verdict is None:
            return
        facts = {"webhook_id": claimed.webhook_id, "delivery_id": claimed.id}
        log.info("webhook.sent", state=verdict.state, error=sent.error, status=sent.status, **facts)
        if verdict.disable is not None:
            log.warning("webhook.disabled", reason=verdict.disable, **facts)

    def _keep_up(self) -> None:
        for name, act in (
            ("expired", expire_deliveries),
            ("deleted", lambda session: delete_old_deliveries(session, after=self._keep)),
        ):
            count = 1
            while count and not self._stopping.is_set():
                with self.database.write() as unit:
                    count = act(unit.session)
                if count:
                    log.info("webhooks.removed", why=name, deliveries=count)
