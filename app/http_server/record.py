"""Count what the protocol refuses and cuts off, and log it: one line per kind and minute."""

import asyncio
from collections import Counter
from contextvars import Context
from enum import StrEnum

from app.core.logging import get_logger

log = get_logger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class CutReason(StrEnum):
    """Why a connection was refused or closed."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    SLOW_HEAD = "slow-head"
    SLOW_BODY = "slow-body"
    SLOW_READER = "slow-reader"
    HANDSHAKE = "tls-handshake"
    TOO_MANY_OF_ADDRESS = "too-many-of-address"
    SERVER_FULL = "server-full"
    EVICTED = "evicted-when-full"
    NO_DESCRIPTOR = "no-descriptor"
    UNTRUSTED_PROXY = "untrusted-proxy"


ADVICE = {
    CutReason.UNTRUSTED_PROXY: "forwarding headers of this address are ignored; if it is your "
    "proxy, add it to trusted_proxies",
    CutReason.NO_DESCRIPTOR: "raise the limit of open files of this process",
    CutReason.SERVER_FULL: "raise connections.maximum and the limit of open files",
}


class Record:
    """The counts since the start, and the log lines.

    The first event of a kind is logged at once, and those of the next minute in one line after it.
    """

    def __init__(self) -> None:
        self.counts: Counter[CutReason] = Counter()
        self._logged: Counter[CutReason] = Counter()
        self._peers: dict[CutReason, str] = {}
        self._timers: dict[CutReason, asyncio.TimerHandle] = {}

    def add(self, cut: CutReason, peer: str) -> None:
        """Count an event and log it, now or within a minute."""
        self.counts[cut] += 1
        self._peers[cut] = peer
        if cut not in self._timers:
            self._log(cut)

    def close(self) -> None:
        """Log what has not been logged yet."""
        for cut, timer in self._timers.items():
            timer.cancel()
            if self.counts[cut] > self._logged[cut]:
                self._write(cut)
        self._timers.clear()

    def _log(self, cut: CutReason) -> None:
        self._timers.pop(cut, None)
        if self.counts[cut] == self._logged[cut]:
            return
        self._write(cut)
        loop = asyncio.get_running_loop()
        self._timers[cut] = loop.call_later(SECONDS_BETWEEN_LINES, self._log, cut)

    def _write(self, cut: CutReason) -> None:
        # The context may be that of a request on this connection, whose id the line must not have.
        Context().run(
            log.warning,
            "connections.refused",
            kind=cut.value,
            count=self.counts[cut] - self._logged[cut],
            count_since_start=self.counts[cut],
            last_peer=self._peers[cut],
            **({"advice": ADVICE[cut]} if cut in ADVICE else {}),
        )
        self._logged[cut] = self.counts[cut]
