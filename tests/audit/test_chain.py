"""The audit log is a chain of hashes: a change of it is seen, unless all of it is made again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.audit.chain import (
    ChainEnd,
    Verification,
    chain_end,
    remove_records,
    seal_records,
    verify_chain,
)
from app.audit.record import COMMAND, Actor, record_change
from app.audit.tables import AuditChain, AuditRecord
from app.core.database import Database, database_now

ADA = Actor("usr_1", "ada", "abcdefghijkl", "192.0.2.7", "req_1")


def record(database: Database, *targets: str) -> None:
    with database.write() as unit:
        for target in targets:
            record_change(unit.session, ADA, "key.created", target=target, details={"days": 3})


def sealed(database: Database, *targets: str) -> None:
    record(database, *targets)
    seal_records(database)


def verify(database: Database, noted: ChainEnd | None = None) -> Verification:
    with database.read() as unit:
        return verify_chain(unit.session, noted=noted)


def end(database: Database) -> ChainEnd:
    with database.read() as unit:
        return chain_end(unit.session)


class TestRecord:
    def test_a_change_is_recorded_with_who_made_it(self, database: Database) -> None:
        record(database, "key_1")

        with database.read() as unit:
            found = unit.session.scalars(select(AuditRecord)).one()
        assert (found.action, found.target, found.user_name) == ("key.created", "key_1", "ada")
        assert (found.credential, found.address) == ("abcdefghijkl", "192.0.2.7")
        assert found.details == {"days": 3}

    def test_a_change_that_is_rolled_back_leaves_no_record(self, database: Database) -> None:
        with database.read() as unit:  # its changes are rolled back
            record_change(unit.session, COMMAND, "user.created", target="ada")

        with database.read() as unit:
            assert unit.session.scalar(select(func.count(AuditRecord.id))) == 0


class TestChain:
    def test_new_records_are_appended_once(self, database: Database) -> None:
        record(database, "a", "b", "c")

        counts = [seal_records(database), seal_records(database)]

        assert counts == [3, 0]
        assert verify(database) == Verification(3, end(database), None)

    def test_records_of_later_transactions_continue_the_chain(self, database: Database) -> None:
        sealed(database, "a")
        sealed(database, "b")

        assert verify(database).checked == 2
        assert end(database).position == 2

    def test_an_empty_log_is_whole(self, database: Database) -> None:
        assert verify(database) == Verification(0, ChainEnd(0, bytes(32)), None)

    def test_servers_that_append_at_once_make_one_chain(self, database: Database) -> None:
        record(database, *(str(number) for number in range(40)))

        with ThreadPoolExecutor(4) as pool:
            counts = list(pool.map(lambda _: seal_records(database), range(4)))

        assert sum(counts) == 40
        assert verify(database).fault is None

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("action", "key.revoked"),
            ("target", "another"),
            ("user_id", None),
            ("user_name", "eve"),
            ("credential", "command"),
            ("address", "192.0.2.8"),
            ("request_id", "req_2"),
            ("project_id", "prj_1"),
            ("details", {"days": 4}),
            ("happened_at", database_now(timedelta(days=1))),
        ],
    )
    def test_a_changed_record_is_found(
        self, database: Database, column: str, value: object
    ) -> None:
        sealed(database, "a", "b", "c")
        with database.write() as unit:
            second = update(AuditRecord).where(AuditRecord.position == 2)
            unit.session.execute(second.values({column: value}))

        found = verify(database)

        assert found.checked == 1
        assert "position 2 was changed" in str(found.fault)

    @pytest.mark.parametrize(
        ("position", "words"),
        [(1, "position 1 is missing"), (2, "position 2 is missing"), (3, "after position 2")],
    )
    def test_a_removed_record_is_found(self, database: Database, position: int, words: str) -> None:
        sealed(database, "a", "b", "c")
        with database.write() as unit:
            unit.session.execute(delete(AuditRecord).where(AuditRecord.position == position))

        assert words in str(verify(database).fault)

    def test_a_chain_that_was_made_anew_differs_from_a_noted_end(self, database: Database) -> None:
        sealed(database, "a", "b")
        noted = end(database)
        with database.write() as unit:
            made_anew(unit.session)
        seal_records(database)

        assert verify(database).fault is None
        assert "another hash than the noted one" in str(verify(database, noted).fault)

    def test_a_noted_end_beyond_the_chain_is_missing(self, database: Database) -> None:
        sealed(database, "a")

        found = verify(database, ChainEnd(7, bytes(32)))

        assert found.fault == "The noted record at position 7 is missing."


class TestRemoval:
    def test_old_records_go_and_the_rest_still_verifies(
        self, database: Database, aged: Callable[[int], None]
    ) -> None:
        sealed(database, "a", "b", "c")
        aged(2)

        removed = remove_records(database, after=timedelta(days=30))

        assert removed == 2
        assert verify(database).checked == 1
        assert verify(database).fault is None

    def test_records_that_are_not_in_the_chain_yet_stay(
        self, database: Database, aged: Callable[[int], None]
    ) -> None:
        record(database, "a")
        aged(1)

        assert remove_records(database, after=timedelta(days=30)) == 0

    def test_a_removed_noted_end_is_no_fault(
        self, database: Database, aged: Callable[[int], None]
    ) -> None:
        sealed(database, "a")
        noted = end(database)
        sealed(database, "b")
        aged(1)
        remove_records(database, after=timedelta(days=30))

        assert verify(database, noted).fault is None


@pytest.fixture
def aged(database: Database) -> Callable[[int], None]:
    """Make the oldest records older, with a chain that fits, as if time had passed."""

    def age(count: int) -> None:
        with database.write() as unit:
            session = unit.session
            oldest = select(AuditRecord.id).order_by(AuditRecord.id).limit(count)
            was_sealed = session.scalar(select(AuditChain.last_position)) != 0
            session.execute(
                update(AuditRecord)
                .where(AuditRecord.id.in_(oldest))
                .values(happened_at=database_now(timedelta(days=-31)))
            )
            made_anew(session)
        if was_sealed:
            seal_records(database)

    return age


def made_anew(session: Session) -> None:
    """Take every record out of the chain, as someone with the database's password can."""
    session.execute(update(AuditRecord).values(position=None, sha256=None))
    session.execute(update(AuditChain).values(last_position=0, last_sha256=bytes(32)))
    renamed = update(AuditRecord).where(AuditRecord.target == "b").values(target="b of eve")
    session.execute(renamed)
