"""A program logs in: a signed-in user confirms its short code, and it gets a key once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import select, update

from app.accounts.logins.codes import new_user_code, read_user_code
from app.accounts.tables import ApiKey, Login, User
from app.audit.tables import AuditRecord
from app.core.database import database_now
from tests.api.browser.browsers import Browser, a_browser, signed_in
from tests.worlds.server import Api

PROBLEM = "urn:trainyard:problem:"

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def program(api: Api) -> Browser:
    """A client without any credential."""
    return a_browser(api)


@pytest.fixture
def user(api: Api) -> Browser:
    """A browser of the first user."""
    return signed_in(api)


def begun(program: Browser, **asked: object) -> dict[str, Any]:
    """Begin a login and return the answer."""
    answer = program.client.post("/v1/logins", json={"host": "laptop", **asked})
    assert answer.status_code == 201, answer.text
    login: dict[str, Any] = answer.json()
    return login


def poll(program: Browser, login: dict[str, Any]) -> Response:
    return program.client.post("/v1/logins/poll", json={"device_code": login["device_code"]})


def decide(user: Browser, login: dict[str, Any], decision: str = "confirm") -> int:
    return user.client.post(f"/v1/logins/{login['user_code']}/{decision}").status_code


def slug_of(answer: Response) -> str:
    kind: str = answer.json()["type"]
    return kind.removeprefix(PROBLEM)


class TestBegin:
    def test_the_answer_names_the_page_and_the_code(self, program: Browser) -> None:
        login = begun(program)

        assert login["verification_url"] == "http://127.0.0.1/login"
        assert login["verification_url_complete"].endswith(f"/login?code={login['user_code']}")
        assert (login["expires_in"], login["interval"]) == (600, 5)

    def test_a_large_body_is_refused(self, program: Browser) -> None:
        answer = program.client.post("/v1/logins", json={"host": "x" * 5000})

        assert answer.status_code == 413

    def test_no_secret_is_stored(self, program: Browser) -> None:
        login = begun(program)

        with program.api.database.read() as unit:
            stored = str(unit.session.execute(select(Login.__table__)).one())
        assert login["device_code"] not in stored
        assert login["user_code"] not in stored

    def test_a_key_cannot_live_for_more_than_a_year(self, program: Browser) -> None:
        body = {"host": "laptop", "key_expires_in_seconds": 366 * 86400}

        answer = program.client.post("/v1/logins", json=body)

        assert answer.json()["errors"][0]["pointer"] == "/key_expires_in_seconds"

    def test_expired_logins_are_deleted(self, program: Browser) -> None:
        begun(program)
        with program.api.database.write() as unit:
            unit.session.execute(update(Login).values(expires_at=database_now()))

        begun(program)

        with program.api.database.read() as unit:
            assert len(unit.session.scalars(select(Login.id)).all()) == 1


class TestConfirm:
    def test_the_program_gets_a_key_that_acts_for_the_user(
        self, program: Browser, user: Browser
    ) -> None:
        login = begun(program, scopes=["jobs:read"], key_expires_in_seconds=3600)
        decide(user, login)

        key = poll(program, login).json()

        headers = {"Authorization": f"Bearer {key['key']}"}
        assert program.client.get("/v1/jobs", headers=headers).status_code == 200
        assert program.client.get("/v1/models", headers=headers).status_code == 403
        assert (key["owner"], key["label"]) == ("owner", "login on laptop")
        made, ends = (datetime.fromisoformat(key[name]) for name in ("created_at", "expires_at"))
        assert timedelta(seconds=3598) < ends - made < timedelta(seconds=3602)

    def test_before_it_the_program_is_told_to_wait(self, program: Browser) -> None:
        waiting = poll(program, begun(program))

        assert (waiting.status_code, slug_of(waiting)) == (409, "authorization-pending")
        assert waiting.headers["Retry-After"] == "5"

    def test_the_user_sees_what_is_asked(self, program: Browser, user: Browser) -> None:
        login = begun(program, scopes=["jobs:read"], key_expires_in_seconds=3600)

        seen = user.client.get(f"/v1/logins/{login['user_code'].lower().replace('-', ' ')}").json()

        assert (seen["host"], seen["address"]) == ("laptop", "testclient")
        assert (seen["scopes"], seen["key_expires_in_seconds"]) == (["jobs:read"], 3600)
        assert seen["user_code"] == login["user_code"]

    def test_a_confirmed_login_is_in_the_audit_log(self, program: Browser, user: Browser) -> None:
        login = begun(program)
        decide(user, login)
        poll(program, login)

        with program.api.database.read() as unit:
            records = unit.session.execute(
                select(AuditRecord.action, AuditRecord.user_name).order_by(AuditRecord.id)
            ).all()
        assert [tuple(each) for each in records] == [
            ("login.confirmed", "owner"),
            ("key.created", "owner"),
        ]

    def test_a_key_cannot_confirm(self, program: Browser) -> None:
        login = begun(program)

        answer = program.api.client.post(f"/v1/logins/{login['user_code']}/confirm")

        assert (answer.status_code, slug_of(answer)) == (403, "session-required")

    def test_a_page_of_another_site_cannot_confirm(self, program: Browser, user: Browser) -> None:
        path = f"/v1/logins/{begun(program)['user_code']}/confirm"

        answer = user.client.post(path, headers={"Sec-Fetch-Site": "cross-site"})

        assert (answer.status_code, slug_of(answer)) == (403, "csrf")

    @pytest.mark.parametrize("code", ["BCDF-0000", "nonsense", "%20", "BCDF-00000"])
    def test_an_unknown_code_is_not_found(self, user: Browser, code: str) -> None:
        answer = user.client.post(f"/v1/logins/{code}/confirm")

        assert (answer.status_code, slug_of(answer)) == (404, "login-not-found")

    def test_a_login_is_decided_once(self, program: Browser, user: Browser) -> None:
        login = begun(program)

        decided = [decide(user, login, each) for each in ("confirm", "refuse", "confirm")]

        assert decided == [204, 404, 404]


class TestKey:
    def test_the_key_is_shown_once(self, program: Browser, user: Browser) -> None:
        login = begun(program)
        decide(user, login)
        poll(program, login)

        again = poll(program, login)

        assert (again.status_code, slug_of(again)) == (410, "login-closed")

    def test_one_of_two_programs_at_the_same_time_gets_it(
        self, program: Browser, user: Browser
    ) -> None:
        login = begun(program)
        decide(user, login)

        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(lambda _: poll(program, login).status_code, range(2)))

        assert sorted(statuses) == [200, 410]
        with program.api.database.read() as unit:
            made = unit.session.scalars(select(ApiKey.label)).all()
        assert made.count("login on laptop") == 1

    def test_a_refused_program_gets_none(self, program: Browser, user: Browser) -> None:
        login = begun(program)
        decide(user, login, "refuse")

        answer = poll(program, login)

        assert (answer.status_code, slug_of(answer)) == (403, "login-refused")

    def test_after_10_minutes_there_is_none(self, program: Browser, user: Browser) -> None:
        login = begun(program)
        decide(user, login)
        with program.api.database.write() as unit:
            expiry = unit.session.scalars(select(Login.expires_at)).one()
            earlier = expiry - timedelta(minutes=10)
            unit.session.execute(update(Login).values(expires_at=earlier))

        answer = poll(program, login)

        assert (answer.status_code, slug_of(answer)) == (410, "login-closed")

    def test_a_user_who_was_disabled_meanwhile_gives_none(
        self, program: Browser, user: Browser
    ) -> None:
        login = begun(program)
        decide(user, login)
        with program.api.database.write() as unit:
            unit.session.execute(update(User).values(disabled_at=database_now()))

        answer = poll(program, login)

        assert (answer.status_code, slug_of(answer)) == (410, "login-closed")

    def test_the_short_code_is_no_secret_of_the_program(
        self, program: Browser, user: Browser
    ) -> None:
        login = begun(program)
        decide(user, login)

        answer = poll(program, {"device_code": login["user_code"]})

        assert (answer.status_code, slug_of(answer)) == (410, "login-closed")


class TestCode:
    @pytest.mark.parametrize(
        "typed", ["BCDF-1234", "bcdf1234", " bcdf 1234 ", "BCDF\u20131234", "b-c-d-f-1-2-3-4"]
    )
    def test_spaces_hyphens_and_case_do_not_matter(self, typed: str) -> None:
        assert read_user_code(typed) == "BCDF-1234"

    @pytest.mark.parametrize("typed", ["", "BCDF-123", "ABCD-1234", "1234-BCDF", "BCDF-123\u0664"])
    def test_other_text_is_no_code(self, typed: str) -> None:
        assert read_user_code(typed) is None

    def test_a_new_code_is_read_as_itself(self) -> None:
        code = new_user_code()

        assert read_user_code(code) == code
