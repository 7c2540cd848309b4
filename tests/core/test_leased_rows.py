"""Claims with a lease for any work: who gets a row, who may write to it, and for how long."""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import String, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from structlog.testing import capture_logs

from app.core.columns import checked_enum
from app.core.database import Database, UnitOfWork, UtcDateTime
from app.core.leased_rows import MAX_CRASHES, LeasedRow, LeasedRows, LeaseKeeper, RowHold
from app.settings.timing import Timing
from tests.waiting import eventually

pytestmark = pytest.mark.integration

LEASE = timedelta(seconds=60)
RAN_OUT = timedelta(seconds=-1)
LETTERS, CLAIMANTS = 12, 6
QUICK = Timing(lease_seconds=60, heartbeat_seconds=0.05, self_fence_seconds=50)
IMPATIENT = Timing(lease_seconds=60, heartbeat_seconds=0.05, self_fence_seconds=0.2)


class Tables(DeclarativeBase):
    """Metadata apart from that of Trainyard's tables, which the migrations are compared with."""


class LetterState(StrEnum):
    UNREAD = "unread"
    READ = "read"
    ILLEGIBLE = "illegible"


class Letter(LeasedRow, Tables):
    """A row that one reader at a time may read."""

    __tablename__ = "letters"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    state: Mapped[LetterState] = mapped_column(checked_enum(LetterState, "state"))
    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    words: Mapped[str | None] = mapped_column(String(40))


READING = LeasedRows(
    Letter, work="reading", id_field="letter_id", waiting=Letter.state == LetterState.UNREAD
)
ILLEGIBLE = {"state": LetterState.ILLEGIBLE, "words": "cannot be read"}
READ = {"state": LetterState.READ, "words": "Dear reader"}

Write = Callable[[Session, RowHold], object]
WRITES: dict[str, Write] = {
    "renew": lambda session, hold: READING.renew(session, hold, lease=LEASE),
    "release": READING.release,
    "crash": lambda session, hold: READING.record_crash(session, hold, last=ILLEGIBLE),
    "finish": lambda session, hold: READING.finish(session, hold, READ),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@pytest.fixture
def letters(database: Database) -> Database:
    """The database, with an empty table of letters."""
    Tables.metadata.create_all(database.engine)
    return database


def add(letters: Database, *ids: str) -> None:
    with letters.write() as unit:
        rows = [{"id": letter_id, "state": LetterState.UNREAD} for letter_id in ids]
        unit.session.execute(insert(Letter), rows)


def claim(
    letters: Database, *, lease: timedelta = LEASE, rung_for: str | None = None
) -> RowHold | None:
    with letters.write() as unit:
        letter = READING.claim(unit.session, lease=lease, rung_for=rung_for)
    return RowHold.of(letter) if letter else None


def a_hold(letters: Database, *, lease: timedelta = LEASE) -> RowHold:
    hold = claim(letters, lease=lease)
    assert hold is not None
    return hold


def written(letters: Database, hold: RowHold, write: Write) -> object:
    with letters.write() as unit:
        return write(unit.session, hold)


def columns_of(letters: Database, letter_id: str) -> dict[str, Any]:
    with letters.read() as unit:
        statement = select(Letter.__table__).where(Letter.id == letter_id)
        return dict(unit.session.execute(statement).mappings().one())


class TestClaim:
    def test_the_row_that_was_rung_for_comes_first_then_the_oldest(self, letters: Database) -> None:
        add(letters, "a", "b", "c")

        claimed = [claim(letters, rung_for="c"), claim(letters), claim(letters, rung_for="gone")]

        assert claimed == [RowHold("c", 1), RowHold("a", 1), RowHold("b", 1)]
        assert claim(letters) is None

    def test_each_row_is_claimed_by_one_of_many_claimants(self, letters: Database) -> None:
        ids = [f"letter {number:02}" for number in range(LETTERS)]
        add(letters, *ids)

        def claim_until_none(_: int) -> list[str]:
            claimed = []
            while (hold := claim(letters)) is not None:
                claimed.append(hold.row_id)
            return claimed

        with ThreadPoolExecutor(CLAIMANTS) as threads:
            lists = list(threads.map(claim_until_none, range(CLAIMANTS)))

        assert Counter(row_id for ids in lists for row_id in ids) == dict.fromkeys(ids, 1)

    def test_a_claim_passes_over_a_row_that_an_open_transaction_claims(
        self, postgres_url: str, open_database: Callable[[str], Database]
    ) -> None:
        letters = open_database(postgres_url)
        Tables.metadata.create_all(letters.engine)
        add(letters, "a", "b")

        with letters.write() as unit:
            first = READING.claim(unit.session, lease=LEASE)
            second = claim(letters)

        assert first is not None
        assert (first.id, second) == ("a", RowHold("b", 1))

    def test_a_lease_that_ran_out_counts_as_a_crash(self, letters: Database) -> None:
        add(letters, "a")
        a_hold(letters, lease=RAN_OUT)

        assert a_hold(letters) == RowHold("a", 2)
        assert columns_of(letters, "a")["crashes"] == 1

    def test_a_released_row_is_claimed_again_without_a_crash(self, letters: Database) -> None:
        add(letters, "a")
        written(letters, a_hold(letters), READING.release)

        assert a_hold(letters) == RowHold("a", 2)
        assert columns_of(letters, "a")["crashes"] == 0

    def test_a_finished_row_is_not_claimed(self, letters: Database) -> None:
        add(letters, "a")
        written(letters, a_hold(letters), WRITES["finish"])

        assert claim(letters, rung_for="a") is None


class TestGuard:
    @each_write
    def test_the_hold_of_the_present_attempt_writes(self, letters: Database, write: Write) -> None:
        add(letters, "a")
        before = columns_of(letters, "a")

        assert written(letters, a_hold(letters), write)
        assert columns_of(letters, "a") != before

    @each_write
    def test_a_hold_writes_though_its_lease_ran_out_while_no_other_claimed(
        self, letters: Database, write: Write
    ) -> None:
        add(letters, "a")

        assert written(letters, a_hold(letters, lease=RAN_OUT), write)

    @each_write
    def test_the_hold_of_an_earlier_attempt_writes_nothing(
        self, letters: Database, write: Write
    ) -> None:
        add(letters, "a")
        lost = a_hold(letters, lease=RAN_OUT)
        a_hold(letters)
        before = columns_of(letters, "a")

        assert not written(letters, lost, write)
        assert columns_of(letters, "a") == before

    @each_write
    def test_nothing_is_written_to_a_finished_row(self, letters: Database, write: Write) -> None:
        add(letters, "a")
        hold = a_hold(letters)
        written(letters, hold, WRITES["finish"])
        before = columns_of(letters, "a")

        assert not written(letters, hold, write)
        assert columns_of(letters, "a") == before

    def test_a_claim_and_a_late_finish_at_once_have_one_winner(self, letters: Database) -> None:
        ids = [f"letter {number:02}" for number in range(LETTERS)]
        add(letters, *ids)
        late = [a_hold(letters, lease=RAN_OUT) for _ in ids]

        with ThreadPoolExecutor(CLAIMANTS) as threads:
            finishes = [threads.submit(written, letters, hold, WRITES["finish"]) for hold in late]
            claims = [threads.submit(claim, letters) for _ in ids]
        finished = {hold.row_id for hold, done in zip(late, finishes, strict=True) if done.result()}
        claimed = {hold.row_id for hold in (done.result() for done in claims) if hold is not None}

        assert finished.isdisjoint(claimed)
        assert finished | claimed == set(ids)

    def test_a_further_condition_that_is_not_true_keeps_the_row_waiting(
        self, letters: Database
    ) -> None:
        add(letters, "a")
        hold = a_hold(letters)

        with letters.write() as unit:
            kept = READING.finish(unit.session, hold, READ, Letter.words.is_not(None))

        assert not kept
        assert written(letters, hold, WRITES["finish"])

    def test_the_lease_ends_with_the_work(self, letters: Database) -> None:
        add(letters, "a")
        written(letters, a_hold(letters), WRITES["finish"])

        row = columns_of(letters, "a")
        assert (row["state"], row["words"]) == (LetterState.READ, "Dear reader")
        assert row["lease_expires_at"] is None


class TestCrashes:
    def test_a_row_is_claimed_again_until_its_last_crash_finishes_it(
        self, letters: Database
    ) -> None:
        add(letters, "a")
        crashes, states = [], []

        while (hold := claim(letters)) is not None:
            crashes.append(written(letters, hold, WRITES["crash"]))
            states.append(columns_of(letters, "a")["state"])

        assert crashes == list(range(1, MAX_CRASHES + 1))
        assert states == [LetterState.UNREAD] * (MAX_CRASHES - 1) + [LetterState.ILLEGIBLE]
        row = columns_of(letters, "a")
        assert (row["words"], row["crashes"]) == ("cannot be read", MAX_CRASHES)
        assert row["lease_expires_at"] is None

    def test_leases_that_ran_out_and_recorded_crashes_add_up(self, letters: Database) -> None:
        add(letters, "a")
        for _ in range(MAX_CRASHES - 1):
            a_hold(letters, lease=RAN_OUT)

        written(letters, a_hold(letters), WRITES["crash"])

        assert columns_of(letters, "a")["state"] is LetterState.ILLEGIBLE

    def test_the_message_names_the_work_the_number_and_the_reason(self) -> None:
        message = READING.gave_up("the reader was interrupted")

        assert message == "The reading failed 3 times: the reader was interrupted."


def fail_writes(letters: Database, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Make the next transactions fail as if the database were away."""
    failures, write = iter(range(times)), letters.write

    def write_or_fail() -> AbstractContextManager[UnitOfWork]:
        if next(failures, None) is not None:
            raise OperationalError("BEGIN", {}, Exception("connection refused"))
        return write()

    monkeypatch.setattr(letters, "write", write_or_fail)


class TestLeaseKeeper:
    def test_the_lease_is_renewed_until_the_block_ends(self, letters: Database) -> None:
        add(letters, "a")
        hold = a_hold(letters)
        first = columns_of(letters, "a")["lease_expires_at"]

        with LeaseKeeper(letters, READING, hold, QUICK) as lease:
            eventually(lambda: columns_of(letters, "a")["lease_expires_at"] > first, within=10)

        assert not lease.is_lost
        assert "reading lease" not in {thread.name for thread in threading.enumerate()}

    def test_a_lease_is_lost_once_another_process_claimed_the_row(self, letters: Database) -> None:
        add(letters, "a")
        hold = a_hold(letters, lease=RAN_OUT)
        a_hold(letters)

        with capture_logs() as logged, LeaseKeeper(letters, READING, hold, QUICK) as lease:
            eventually(lambda: lease.is_lost, within=10)

        assert logged == [
            {
                "event": "lease.fenced",
                "log_level": "warning",
                "work": "reading",
                "letter_id": "a",
                "attempt": 1,
            }
        ]

    def test_a_lease_is_lost_once_the_database_was_away_for_too_long(
        self, letters: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(letters, "a")
        hold = a_hold(letters)
        fail_writes(letters, monkeypatch, times=sys.maxsize)

        with capture_logs() as logged, LeaseKeeper(letters, READING, hold, IMPATIENT) as lease:
            eventually(lambda: lease.is_lost, within=10)

        events = [entry["event"] for entry in logged]
        assert events[-1] == "lease.lost"
        assert set(events[:-1]) == {"lease.not_renewed"}
        assert {(entry["work"], entry["letter_id"]) for entry in logged} == {("reading", "a")}

    def test_a_short_outage_is_survived(
        self, letters: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(letters, "a")
        hold = a_hold(letters)
        first = columns_of(letters, "a")["lease_expires_at"]
        fail_writes(letters, monkeypatch, times=2)

        with capture_logs() as logged, LeaseKeeper(letters, READING, hold, QUICK) as lease:
            eventually(lambda: columns_of(letters, "a")["lease_expires_at"] > first, within=10)

        assert not lease.is_lost
        assert [entry["event"] for entry in logged] == ["lease.not_renewed"] * 2
