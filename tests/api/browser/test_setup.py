"""The first administrator comes by a set-up link, once, or by a password file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import func, select, update

from app.accounts.browser.errors import SetupClosed
from app.accounts.browser.sessions import Client
from app.accounts.browser.setup import (
    NewAdministrator,
    complete_setup,
    first_password,
    new_setup_link,
    set_first_password,
    setup_url,
)
from app.accounts.issue_key import ensure_first_key
from app.accounts.passwords import verify_password
from app.accounts.tables import BrowserSession, SetupLink, User
from app.accounts.user_repository import insert_user
from app.audit.tables import AuditRecord
from app.configuration import BadConfiguration
from app.core.database import Database, database_now
from app.settings import Settings
from tests.api.browser.browsers import PASSWORD, Browser, a_browser, with_password
from tests.api.interleaving import interleaved
from tests.api.refusals import assert_refused
from tests.worlds.accounts import a_person
from tests.worlds.server import Api, on, serving

GIVEN = {"name": "ada", "password": PASSWORD}
CLOSED = "urn:trainyard:problem:setup-closed"


def a_link(api: Api) -> str:
    token = new_setup_link(api.database)
    assert token is not None
    return f"/setup/{token}"


def administrators(database: Database) -> list[str]:
    with database.read() as unit:
        statement = select(User.name).where(User.is_admin, User.password_hash.is_not(None))
        return list(unit.session.scalars(statement))


def add_user(database: Database) -> None:
    with database.write() as unit:
        insert_user(unit.session, name=GIVEN["name"], is_admin=False)


@pytest.mark.mostly_sqlite
class TestLink:
    def test_the_first_user_becomes_the_administrator_and_is_signed_in(self, api: Api) -> None:
        client = a_browser(api).client

        answer = client.post(a_link(api), json=GIVEN)

        assert answer.status_code == 200, answer.text
        assert administrators(api.database) == ["ada"]
        assert client.get("/v1/me").json()["user"] == "ada"
        assert client.get("/v1/me").json()["projects"] == {"default": "admin"}
        assert api.client.get("/v1/me").json()["user"] == "ada"
        with api.database.read() as unit:
            recorded = unit.session.scalars(select(AuditRecord.action)).all()
        assert sorted(recorded) == ["session.started", "setup.completed"]

    @pytest.mark.parametrize(
        ("given", "pointer"),
        [
            ({"name": "Ada", "password": PASSWORD}, "/name"),
            ({"name": "<b>", "password": PASSWORD}, "/name"),
            ({"name": "a" * 101, "password": PASSWORD}, "/name"),
            ({"name": "ada", "password": "short"}, "/password"),
            ({"name": "ada@site.test", "password": "Ada@site.test"}, "/password"),
            ({"name": "ada", "password": PASSWORD, "is_admin": True}, "/is_admin"),
        ],
    )
    def test_a_wrong_field_is_named_and_the_link_stays_open(
        self, api: Api, given: dict[str, object], pointer: str
    ) -> None:
        link = a_link(api)

        answer = a_browser(api).client.post(link, json=given)

        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert a_browser(api).client.get(link).status_code == 200

    def test_a_name_of_another_user_is_refused_and_the_link_stays_open(self, api: Api) -> None:
        link, other = a_link(api), a_person(api.database)

        answer = a_browser(api).client.post(link, json={**GIVEN, "name": other.name})

        assert_refused(answer, status=422, slug="validation-error", pointer="/name")
        assert administrators(api.database) == []
        assert a_browser(api).client.get(link).status_code == 200

    def test_a_link_does_not_work_twice(self, api: Api) -> None:
        link = a_link(api)
        a_browser(api).client.post(link, json=GIVEN)

        again = a_browser(api).client.post(link, json={**GIVEN, "name": "eve"})
        shown = a_browser(api).client.get(link)

        assert (again.status_code, again.json()["type"]) == (410, CLOSED)
        assert (shown.status_code, shown.json()["type"]) == (410, CLOSED)
        assert administrators(api.database) == ["ada"]

    def test_a_link_does_not_work_after_30_minutes(self, api: Api) -> None:
        link = a_link(api)
        with api.database.write() as unit:
            expiry = unit.session.scalars(select(SetupLink.expires_at)).one()
            unit.session.execute(
                update(SetupLink).values(expires_at=expiry - timedelta(minutes=30))
            )

        answer = a_browser(api).client.post(link, json=GIVEN)

        assert (answer.status_code, answer.json()["type"]) == (410, CLOSED)

    def test_a_link_works_for_almost_30_minutes(self, api: Api) -> None:
        link = a_link(api)
        with api.database.write() as unit:
            expiry = unit.session.scalars(select(SetupLink.expires_at)).one()
            unit.session.execute(
                update(SetupLink).values(expires_at=expiry - timedelta(minutes=29))
            )

        assert a_browser(api).client.get(link).status_code == 200

    def test_a_link_does_not_work_while_an_administrator_has_a_password(self, api: Api) -> None:
        link = a_link(api)
        with_password(api)

        answer = a_browser(api).client.post(link, json=GIVEN)

        assert (answer.status_code, answer.json()["type"]) == (410, CLOSED)

    def test_there_is_no_link_while_an_administrator_has_a_password(self, browser: Browser) -> None:
        assert new_setup_link(browser.api.database) is None

    @pytest.mark.parametrize("token", ["A" * 43, "a", "A" * 44, "%00", "..%2f", "x" * 199])
    def test_an_unknown_link_is_closed_as_well(self, shared_api: Api, token: str) -> None:
        answer = a_browser(shared_api).client.post(f"/setup/{token}", json=GIVEN)

        assert answer.status_code in {404, 410}

    def test_the_token_of_a_link_is_not_logged(
        self, api: Api, capsys: pytest.CaptureFixture[str]
    ) -> None:
        link = a_link(api)

        a_browser(api).client.get(link)
        a_browser(api).client.post(link, json=GIVEN)

        assert link.removeprefix("/setup/") not in capsys.readouterr().out


class TestRace:
    def test_exactly_one_of_parallel_uses_of_links_wins(
        self,
        database_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
    ) -> None:
        databases = [open_database(database_url) for _ in range(3)]
        ensure_first_key(databases[0], tmp_path)
        links = [new_setup_link(databases[0]) for _ in range(2)]
        together = Barrier(3)

        def use(number: int) -> str:
            token = links[number % 2]
            assert token is not None
            new = NewAdministrator(f"ada{number}", PASSWORD)
            together.wait(timeout=30)
            try:
                complete_setup(
                    databases[number], token, new, Client(None), lifetime=timedelta(days=1)
                )
            except SetupClosed:
                return "closed"
            return new.name

        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(use, range(3)))

        winners = [name for name in results if name != "closed"]
        assert len(winners) == 1
        assert administrators(databases[0]) == winners
        with databases[0].read() as unit:
            assert unit.session.scalar(select(func.count()).select_from(BrowserSession)) == 1

    def test_a_name_that_another_user_takes_meanwhile_is_refused(
        self, postgres_url: str, tmp_path: Path
    ) -> None:
        """On PostgreSQL, because on SQLite the other write would wait for this one."""
        for api in serving(on(postgres_url, tmp_path / "home")):
            link, meanwhile = a_link(api), partial(add_user, api.database)

            with interleaved(api.database, {"UPDATE users": meanwhile}, times=1):
                answer = a_browser(api).client.post(link, json=GIVEN)

            assert_refused(answer, status=422, slug="validation-error", pointer="/name")


@pytest.mark.mostly_sqlite
class TestPasswordFile:
    def test_the_first_user_gets_the_password_of_the_file(
        self, database: Database, tmp_path: Path
    ) -> None:
        ensure_first_key(database, tmp_path)
        file = tmp_path / "password"
        file.write_text(f"{PASSWORD}\n")

        set_first_password(database, first_password(file))

        assert administrators(database) == ["owner"]
        with database.read() as unit:
            stored = unit.session.scalars(select(User.password_hash)).one()
        assert verify_password(PASSWORD, stored)

    def test_a_password_that_is_set_is_kept(self, browser: Browser) -> None:
        def stored() -> str | None:
            with browser.api.database.read() as unit:
                return unit.session.scalars(select(User.password_hash)).one()

        before = stored()

        set_first_password(browser.api.database, "another password")

        assert stored() == before

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "cannot be read: no such file"),
            (b"short\n", "8 to 200 characters"),
            (b"password\n", "first that are tried"),
            (b"\xff\xfe" * 8, "not UTF-8"),
            (b"a" * 300, "8 to 200 characters"),
        ],
    )
    def test_a_file_that_cannot_be_used_ends_the_start(
        self, tmp_path: Path, content: bytes | None, reason: str
    ) -> None:
        file = tmp_path / "password"
        if content is not None:
            file.write_bytes(content)

        with pytest.raises(BadConfiguration, match=reason):
            first_password(file)


class TestUrl:
    def test_the_link_begins_with_the_public_name_behind_a_proxy(self) -> None:
        settings = Settings(
            behind_proxy=True, allowed_hosts=("train.example",), path_prefix="/yolo"
        )

        link = setup_url(settings, "token", local_url="http://127.0.0.1:8080")

        assert link == "https://train.example/yolo/sign-in/set-up/token"

    def test_the_link_begins_with_the_address_of_the_server(self) -> None:
        link = setup_url(Settings(), "token", local_url="http://127.0.0.1:8080")

        assert link == "http://127.0.0.1:8080/sign-in/set-up/token"


def test_links_expire_by_the_clock_of_the_database(database: Database) -> None:
    new_setup_link(database)

    with database.read() as unit:
        left = unit.session.scalars(
            select(SetupLink.expires_at).where(
                SetupLink.expires_at > database_now(timedelta(minutes=29)),
                SetupLink.expires_at <= database_now(timedelta(minutes=30)),
            )
        ).all()
    assert len(left) == 1
