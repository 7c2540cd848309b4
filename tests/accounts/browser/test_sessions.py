"""Sessions in the database: who holds them, and when they end."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.accounts.browser.attempts import Attempts
from app.accounts.browser.cookies import new_token
from app.accounts.browser.session_keeper import SessionKeeper
from app.accounts.browser.sessions import (
    MAX_PER_USER,
    Client,
    delete_session,
    delete_sessions,
    holder_of_session,
    insert_session,
    sessions_of,
)
from app.accounts.browser.sign_in import SignIn, set_password, sign_in
from app.accounts.errors import UserNotFound
from app.accounts.tables import BrowserSession, Project, User
from app.audit.record import COMMAND, Actor
from app.core.database import Database, database_now
from app.core.errors import Unauthenticated
from app.core.rate_limits import RateCounters
from app.settings.accounts import AccountSettings
from tests.api.browser.browsers import HASH, PASSWORD
from tests.worlds.rows import Owner, an_owner

IDLE, LIFETIME = timedelta(days=7), timedelta(days=30)


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


def started(database: Database, owner: Owner, client: Client | None = None) -> tuple[str, str]:
    """Insert a session; return its id and its token."""
    token = new_token()
    with database.write() as unit:
        given = client or Client("192.0.2.1")
        session_id = insert_session(unit.session, owner.user_id, token, given, lifetime=LIFETIME)
    return session_id, token


def is_valid(database: Database, token: str) -> bool:
    with database.read() as unit:
        return holder_of_session(unit.session, token, idle=IDLE) is not None


class TestHolder:
    def test_the_holder_has_the_projects_of_the_user(
        self, database: Database, owner: Owner
    ) -> None:
        session_id, token = started(database, owner)

        with database.read() as unit:
            holder = holder_of_session(unit.session, token, idle=IDLE)

        assert holder is not None
        assert (holder.session_id, holder.user_id) == (session_id, owner.user_id)
        assert [project.id for project in holder.projects] == [owner.project_id]
        assert not holder.is_seen_late

    def test_the_holder_knows_which_projects_are_archived(
        self, database: Database, owner: Owner
    ) -> None:
        _, token = started(database, owner)
        with database.write() as unit:
            unit.session.execute(update(Project).values(archived_at=database_now()))

        with database.read() as unit:
            holder = holder_of_session(unit.session, token, idle=IDLE)

        assert holder is not None
        assert [project.is_archived for project in holder.projects] == [True]

    def test_an_unknown_token_has_no_holder(self, database: Database, owner: Owner) -> None:
        started(database, owner)

        assert not is_valid(database, new_token())

    @pytest.mark.parametrize(
        "change",
        [{"expires_at": database_now()}, {"last_seen_at": database_now(-IDLE)}],
        ids=["absolute", "idle"],
    )
    def test_an_expired_session_has_no_holder_and_is_not_listed(
        self, database: Database, owner: Owner, change: dict[str, object]
    ) -> None:
        _, token = started(database, owner)
        with database.write() as unit:
            unit.session.execute(update(BrowserSession).values(**change))

        assert not is_valid(database, token)
        with database.read() as unit:
            assert list(sessions_of(unit.session, owner.user_id, idle=IDLE)) == []

    def test_a_session_of_another_user_cannot_be_deleted(
        self, database: Database, owner: Owner
    ) -> None:
        session_id, token = started(database, owner)
        other = an_owner(database, "other")

        with database.write() as unit:
            deleted = delete_session(unit.session, other.user_id, session_id)

        assert not deleted
        assert is_valid(database, token)

    def test_all_sessions_but_one_are_deleted(self, database: Database, owner: Owner) -> None:
        kept, token = started(database, owner)
        others = [started(database, owner)[1] for _ in range(2)]

        with database.write() as unit:
            count = delete_sessions(unit.session, owner.user_id, but=kept)

        assert count == 2
        assert is_valid(database, token)
        assert not any(is_valid(database, other) for other in others)

    def test_a_user_has_a_bounded_number_of_sessions(
        self, database: Database, owner: Owner
    ) -> None:
        tokens = [started(database, owner)[1] for _ in range(MAX_PER_USER + 1)]

        assert [is_valid(database, token) for token in tokens[:2]] == [False, True]

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [(None, None), ("", None), ("a\x00b\x1b[31m\u202ec", "ab[31mc"), ("x" * 500, "x" * 200)],
    )
    def test_the_printable_part_of_a_user_agent_is_kept(
        self, database: Database, owner: Owner, sent: str | None, kept: str | None
    ) -> None:
        started(database, owner, Client("192.0.2.1", sent))

        with database.read() as unit:
            assert unit.session.scalars(select(BrowserSession.user_agent)).one() == kept


class TestKeeper:
    def test_the_keeper_writes_that_a_session_was_used(
        self, database: Database, owner: Owner
    ) -> None:
        session_id, token = started(database, owner)
        with database.write() as unit:
            earlier = database_now(-timedelta(minutes=2))
            unit.session.execute(update(BrowserSession).values(last_seen_at=earlier))
        with database.read() as unit:
            holder = holder_of_session(unit.session, token, idle=IDLE)
        assert holder is not None
        assert holder.is_seen_late
        keeper = SessionKeeper(database, idle=IDLE)

        keeper.note(session_id)
        keeper.write()

        with database.read() as unit:
            after = holder_of_session(unit.session, token, idle=IDLE)
        assert after is not None
        assert not after.is_seen_late

    def test_the_keeper_deletes_expired_sessions(self, database: Database, owner: Owner) -> None:
        started(database, owner)
        with database.write() as unit:
            unit.session.execute(update(BrowserSession).values(expires_at=database_now()))
        _, valid = started(database, owner)

        SessionKeeper(database, idle=IDLE).expire()

        with database.read() as unit:
            assert len(unit.session.scalars(select(BrowserSession)).all()) == 1
        assert is_valid(database, valid)

    def test_a_session_that_was_ended_stays_ended(self, database: Database, owner: Owner) -> None:
        session_id, token = started(database, owner)
        keeper = SessionKeeper(database, idle=IDLE)
        keeper.note(session_id)
        with database.write() as unit:
            delete_sessions(unit.session, owner.user_id)

        keeper.write()

        assert not is_valid(database, token)


class TestPasswordOfAnotherUser:
    def test_a_new_password_ends_every_session(self, database: Database, owner: Owner) -> None:
        _, token = started(database, owner)

        set_password(database, COMMAND, owner.user_id, "quite another 7")

        assert not is_valid(database, token)

    def test_an_administrator_who_sets_the_own_password_stays_signed_in(
        self, database: Database, owner: Owner
    ) -> None:
        session_id, token = started(database, owner)
        _, other = started(database, owner)

        set_password(database, Actor(credential=session_id), owner.user_id, "quite another 7")

        assert (is_valid(database, token), is_valid(database, other)) == (True, False)

    def test_an_unknown_user_is_reported(self, database: Database) -> None:
        with pytest.raises(UserNotFound):
            set_password(database, COMMAND, "nobody", "quite another 7")

    @pytest.mark.usefixtures("owner")
    def test_a_password_that_changes_during_a_sign_in_wins(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with database.write() as unit:
            unit.session.execute(update(User).values(password_hash=HASH))
        attempts = Attempts(RateCounters("redis://127.0.0.1:1/0"), AccountSettings())

        def change_meanwhile(_: str) -> bool:
            with database.write() as unit:
                unit.session.execute(update(User).values(password_hash="another"))
            return False

        monkeypatch.setattr("app.accounts.browser.sign_in.needs_rehash", change_meanwhile)
        attempt = SignIn("user of default", PASSWORD, Client(None))

        with pytest.raises(Unauthenticated):
            sign_in(database, attempts, attempt, lifetime=LIFETIME)

        with database.read() as unit:
            assert unit.session.scalars(select(BrowserSession)).all() == []
