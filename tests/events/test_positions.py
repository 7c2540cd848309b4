"""Each committed event once and in order, whatever transactions and readers do at the same time."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.pages import CursorSeal
from app.events.log import PositionSeal
from app.events.repository import append_event
from app.events.tables import EventRow
from tests.events.log_rows import page
from tests.worlds.rows import a_job, some_rows

pytestmark = pytest.mark.integration

MOST_OPEN = 4
STEPS = 160
WRITERS, TRANSACTIONS = 4, 20


class RolledBack(Exception):
    """Ends a transaction without a commit."""


@dataclass(frozen=True)
class Servers:
    """Two servers on one database, and a job whose events they append."""

    databases: tuple[Database, Database]
    job_id: str
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def transactions_at_once(self) -> int:
        """How many transactions can write at the same time."""
        return 1 if self.databases[0].is_sqlite else MOST_OPEN

    def append(self, session: Session) -> None:
        append_event(session, self.job_id, next(self.numbers), "job.changed")

    def log(self) -> list[int | None]:
        """Return the numbers of all committed events in the order of the log."""
        return [row.seq for row in page(self.databases[0], limit=10_000).rows]


@pytest.fixture
def servers(database_url: str, open_database: Callable[[str], Database]) -> Servers:
    first, second = open_database(database_url), open_database(database_url)
    job_id = a_job(first, some_rows(first))
    with first.write() as unit:
        unit.session.execute(delete(EventRow))
    return Servers((first, second), job_id)


class Reader:
    """Reads the log of two servers, and remembers only a sealed position and what it has read."""

    def __init__(self, servers: Servers, dice: random.Random) -> None:
        self.read: list[int | None] = []
        self._servers = servers
        self._dice = dice
        self._sealed: str | None = None

    def look(self) -> bool:
        """Read a page from any server, and sometimes lose its end; return whether it had rows."""
        seal = PositionSeal(CursorSeal(b"of both servers"))
        after = None if self._sealed is None else seal.open(self._sealed)
        got = page(
            self._dice.choice(self._servers.databases), after, limit=self._dice.randint(1, 5)
        )
        kept = got.rows[: self._dice.randint(0, len(got.rows))]
        if len(kept) < len(got.rows):
            self._sealed = seal.seal(kept[-1].at) if kept else self._sealed
        else:
            self._sealed = seal.seal(got.sealed_to)
        self.read += [row.seq for row in kept]
        return bool(got.rows)

    def finish(self) -> None:
        """Read until nothing is left."""
        while self.look():
            pass


class Transactions:
    """The open transactions of both servers."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._open: list[tuple[ExitStack, Session]] = []

    def step(self, dice: random.Random) -> None:
        """Begin a transaction, append in one, commit one or roll one back."""
        if len(self._open) < self._servers.transactions_at_once and dice.random() < 0.4:
            stack = ExitStack()
            unit = stack.enter_context(dice.choice(self._servers.databases).write())
            self._open.append((stack, unit.session))
        elif self._open and dice.random() < 0.6:
            self._servers.append(dice.choice(self._open)[1])
        elif self._open:
            self.end(self._open.pop(dice.randrange(len(self._open)))[0], dice)

    def end(self, stack: ExitStack, dice: random.Random) -> None:
        with suppress(RolledBack), stack:
            if dice.random() < 0.2:
                raise RolledBack

    def end_all(self, dice: random.Random) -> None:
        while self._open:
            self.end(self._open.pop()[0], dice)


class TestOrder:
    @pytest.mark.parametrize("seed", range(4))
    def test_readers_get_each_event_once_in_the_order_of_the_log(
        self, servers: Servers, seed: int
    ) -> None:
        dice = random.Random(seed)
        readers = [Reader(servers, dice) for _ in range(3)]
        transactions = Transactions(servers)

        for _ in range(STEPS):
            transactions.step(dice)
            if dice.random() < 0.5:
                dice.choice(readers).look()
        transactions.end_all(dice)
        for reader in readers:
            reader.finish()

        log = servers.log()
        assert len(log) >= 10
        assert [reader.read for reader in readers] == [log] * 3

    def test_readers_beside_writing_threads_get_each_event_once_in_order(
        self, servers: Servers
    ) -> None:
        written = threading.Event()
        readers = [Reader(servers, random.Random(seed)) for seed in (1, 2)]

        with ThreadPoolExecutor(WRITERS + len(readers)) as pool:
            reading = [pool.submit(_read, reader, written) for reader in readers]
            writing = [pool.submit(_write, servers, seed) for seed in range(WRITERS)]
            for each in writing:
                each.result(60)
            written.set()
            for each in reading:
                each.result(60)

        log = servers.log()
        assert len(log) >= TRANSACTIONS
        assert [reader.read for reader in readers] == [log] * 2


def _write(servers: Servers, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(TRANSACTIONS):
        with suppress(RolledBack), dice.choice(servers.databases).write() as unit:
            for _ in range(dice.randint(1, 3)):
                servers.append(unit.session)
            if dice.random() < 0.2:
                raise RolledBack


def _read(reader: Reader, written: threading.Event) -> None:
    while not written.is_set():
        reader.look()
    reader.finish()
