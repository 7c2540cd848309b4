"""Users over HTTP: administrators create and change them, and one administrator remains."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import insert, select, update

from app.accounts.tables import BrowserSession, User
from app.audit.tables import AuditRecord
from app.core.database import database_now
from app.core.ids import new_id
from tests.api.browser.browsers import a_browser
from tests.worlds.accounts import Caller, Person, a_person
from tests.worlds.server import Api, on, serving

NEW = "quite another 7"


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of this module; each makes its own users."""
    yield from serving(on(module_database_url, tmp_path_factory.mktemp("users") / "home"))


@pytest.fixture
def by(api: Api) -> Callable[[Person], Caller]:
    return lambda person: Caller(api.client, person)


@pytest.fixture
def administrator(api: Api, by: Callable[[Person], Caller]) -> Caller:
    return by(a_person(api.database, is_admin=True))


def changed(caller: Caller, person: Person, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = caller("PATCH", f"/v1/users/{person.user_id}", json=changes)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def recorded(api: Api, user_id: str) -> list[str]:
    with api.database.read() as unit:
        statement = select(AuditRecord.action).where(AuditRecord.target == user_id)
        return list(unit.session.scalars(statement.order_by(AuditRecord.id)))


def set_password(caller: Caller, person: Person, password: str) -> httpx.Response:
    return caller("PUT", f"/v1/users/{person.user_id}/password", json={"password": password})


@pytest.fixture
def alone(api: Api, by: Callable[[Person], Caller]) -> Iterator[Caller]:
    """The only administrator."""
    person = a_person(api.database, is_admin=True)
    others = update(User).where(User.is_admin.is_(True), User.id != person.user_id)
    with api.database.write() as unit:
        statement = others.values(is_admin=False).returning(User.id)
        ids = list(unit.session.scalars(statement))
    yield by(person)
    with api.database.write() as unit:
        unit.session.execute(update(User).where(User.id.in_(ids)).values(is_admin=True))


class TestCreate:
    def test_a_new_user_is_shown_and_recorded(self, api: Api, administrator: Caller) -> None:
        created = administrator.post("/v1/users", json={"name": "ada.l@example.org"})

        view = created.json()
        assert (created.status_code, view["administrator"], view["has_password"]) == (
            201,
            False,
            False,
        )
        assert administrator.get(created.headers["Location"]).json() == view
        assert administrator.get("/v1/users/ada.l@example.org").json() == view
        assert recorded(api, view["id"]) == ["user.created"]

    def test_a_name_is_taken_once(self, administrator: Caller) -> None:
        answer = administrator.post("/v1/users", json={"name": administrator.person.name})

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:name-taken"

    @pytest.mark.mostly_sqlite
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/name"),
            ({"name": "a b"}, "/name"),
            ({"name": "Owner"}, "/name"),
            ({"name": "=1+1"}, "/name"),
            ({"name": "a\n"}, "/name"),
            ({"name": "a", "administrator": 1}, "/administrator"),
            ({"name": "a", "password_hash": "x"}, "/password_hash"),
            ({"name": "a", "id": "usr_1"}, "/id"),
            ({"name": "a", "role": "admin"}, "/role"),
        ],
        ids=str,
    )
    def test_a_wrong_field_is_named(
        self, administrator: Caller, body: dict[str, Any], pointer: str
    ) -> None:
        answer = administrator.post("/v1/users", json=body)

        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    def test_pages_have_every_user_once(self, api: Api, administrator: Caller) -> None:
        names: list[str] = []
        query: dict[str, Any] = {"limit": 3}
        while True:
            page = administrator.get("/v1/users", params=query).json()
            names += [view["name"] for view in page["data"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]

        with api.database.read() as unit:
            assert sorted(names) == sorted(unit.session.scalars(select(User.name)))


class TestChange:
    def test_a_disabled_user_is_refused_at_once_and_signed_out(
        self, api: Api, by: Callable[[Person], Caller], administrator: Caller
    ) -> None:
        person = a_person(api.database)
        session = {"id": new_id("ses"), "user_id": person.user_id, "token_sha256": new_id("x")}
        session["token_sha256"] = person.user_id.encode()[:32]  # type: ignore[assignment]
        times = dict.fromkeys(("created_at", "expires_at", "last_seen_at"), database_now())
        with api.database.write() as unit:
            unit.session.execute(insert(BrowserSession).values(**session, **times))

        view = changed(administrator, person, disabled=True)

        with api.database.read() as unit:
            own = select(BrowserSession).where(BrowserSession.user_id == person.user_id)
            assert unit.session.scalars(own).all() == []
        assert view["disabled_at"] is not None
        assert by(person).get("/v1/jobs").status_code == 401

    def test_an_enabled_user_is_let_in_with_the_same_key(
        self, api: Api, by: Callable[[Person], Caller], administrator: Caller
    ) -> None:
        person = a_person(api.database)
        changed(administrator, person, disabled=True)

        changed(administrator, person, disabled=False)

        assert by(person).get("/v1/jobs").status_code == 200
        assert recorded(api, person.user_id) == ["user.disabled", "user.enabled"]

    def test_a_demoted_administrator_loses_it_with_the_next_request(
        self, api: Api, by: Callable[[Person], Caller], administrator: Caller
    ) -> None:
        other = a_person(api.database, is_admin=True)
        before = by(other).get("/v1/users").status_code

        changed(administrator, other, administrator=False)

        assert (before, by(other).get("/v1/users").status_code) == (200, 403)

    def test_a_change_that_changes_nothing_is_not_recorded(
        self, api: Api, administrator: Caller
    ) -> None:
        person = a_person(api.database)

        changed(administrator, person, name=person.name, disabled=False)

        assert recorded(api, person.user_id) == []

    def test_a_change_of_what_was_changed_meanwhile_is_refused(
        self, api: Api, administrator: Caller
    ) -> None:
        person = a_person(api.database)
        path = f"/v1/users/{person.user_id}"
        tag = administrator.get(path).headers["ETag"]
        changed(administrator, person, administrator=True)
        headers = {**administrator.person.headers, "If-Match": tag}

        answer = administrator.client.patch(path, json={"disabled": True}, headers=headers)

        assert answer.status_code == 412
        assert administrator.get(path).json()["disabled_at"] is None

    def test_the_current_tag_allows_a_change(self, api: Api, administrator: Caller) -> None:
        path = f"/v1/users/{a_person(api.database).user_id}"
        tag = administrator.get(path).headers["ETag"]
        headers = {**administrator.person.headers, "If-Match": tag}

        answer = administrator.client.patch(path, json={"disabled": True}, headers=headers)

        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag


class TestPassword:
    def test_a_user_signs_in_with_the_password_that_an_administrator_set(
        self, api: Api, administrator: Caller
    ) -> None:
        person = a_person(api.database)

        answer = set_password(administrator, person, NEW)

        assert answer.status_code == 204, answer.text
        assert a_browser(api).sign_in(person.name, NEW) == 200
        view = administrator.get(f"/v1/users/{person.user_id}").json()
        assert view["has_password"] is True

    def test_a_new_password_replaces_the_old_one_and_ends_every_session(
        self, api: Api, administrator: Caller
    ) -> None:
        person = a_person(api.database)
        set_password(administrator, person, "the first one 1")
        browser = a_browser(api)
        browser.sign_in(person.name, "the first one 1")

        set_password(administrator, person, NEW)

        assert browser.client.get("/v1/me").status_code == 401
        assert a_browser(api).sign_in(person.name, "the first one 1") == 401

    def test_a_new_password_is_recorded_with_who_set_it(
        self, api: Api, administrator: Caller
    ) -> None:
        person = a_person(api.database)

        set_password(administrator, person, NEW)

        with api.database.read() as unit:
            of_person = select(AuditRecord).where(AuditRecord.target == person.user_id)
            (record,) = unit.session.scalars(of_person)
        assert (record.action, record.user_name) == (
            "password.changed",
            administrator.person.name,
        )
        assert record.details == {"name": person.name, "sessions_ended": 0}

    @pytest.mark.mostly_sqlite
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/password"),
            ({"password": "short"}, "/password"),
            ({"password": "Password1"}, "/password"),
            ({"password": NEW, "current_password": NEW}, "/current_password"),
        ],
        ids=str,
    )
    def test_a_wrong_body_names_the_field(
        self, api: Api, administrator: Caller, body: dict[str, str], pointer: str
    ) -> None:
        person = a_person(api.database)

        answer = administrator("PUT", f"/v1/users/{person.user_id}/password", json=body)

        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    def test_the_password_of_an_unknown_user_is_not_found(self, administrator: Caller) -> None:
        answer = administrator("PUT", "/v1/users/nobody/password", json={"password": NEW})

        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:trainyard:problem:user-not-found"


class TestLastAdministrator:
    @pytest.mark.parametrize("change", [{"disabled": True}, {"administrator": False}], ids=str)
    def test_the_last_administrator_stays(self, alone: Caller, change: dict[str, bool]) -> None:
        answer = alone("PATCH", f"/v1/users/{alone.person.user_id}", json=change)

        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:trainyard:problem:last-administrator"

    def test_a_disabled_administrator_does_not_count(self, api: Api, alone: Caller) -> None:
        other = a_person(api.database, is_admin=True)
        changed(alone, other, disabled=True)

        answer = alone("PATCH", f"/v1/users/{alone.person.user_id}", json={"disabled": True})

        assert answer.status_code == 409

    def test_two_administrators_who_demote_each_other_leave_one(
        self, api: Api, by: Callable[[Person], Caller], alone: Caller
    ) -> None:
        other = a_person(api.database, is_admin=True)
        pairs = [(alone, other), (by(other), alone.person)]

        with ThreadPoolExecutor(2) as pool:
            answers = pool.map(
                lambda pair: (
                    pair[0](
                        "PATCH", f"/v1/users/{pair[1].user_id}", json={"administrator": False}
                    ).status_code
                ),
                pairs,
            )

        assert list(answers).count(200) == 1
        with api.database.read() as unit:
            left = select(User.id).where(User.is_admin.is_(True))
            assert len(unit.session.scalars(left).all()) == 1
