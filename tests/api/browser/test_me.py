"""`/v1/me`: a user's own preferences, password and sessions."""

import logging

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from app.accounts.tables import User
from app.audit.tables import AuditRecord
from tests.api.browser.browsers import NAME, PASSWORD, Browser, a_browser, a_session
from tests.api.browser.browsers import signed_in as another_browser
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

NEW = "quite another 7"


class TestMe:
    def test_the_caller_sees_name_role_projects_and_preferences(self, signed_in: Browser) -> None:
        answer = signed_in.client.get("/v1/me")

        assert answer.json() == {
            "user": NAME,
            "role": "administrator",
            "projects": {"default": "admin"},
            "theme": "auto",
            "keys": True,
            "has_password": True,
        }

    def test_a_key_sees_its_user(self, api: Api) -> None:
        assert api.client.get("/v1/me").json()["user"] == NAME

    def test_preferences_are_changed_one_by_one(self, signed_in: Browser) -> None:
        signed_in.client.patch("/v1/me", json={"theme": "dark"})

        answer = signed_in.client.patch("/v1/me", json={"keys": False})

        assert (answer.json()["theme"], answer.json()["keys"]) == ("dark", False)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PATCH", "/v1/me"),
            ("PUT", "/v1/me/password"),
            ("GET", "/v1/me/sessions"),
            ("DELETE", "/v1/me/sessions/ses_" + "0" * 26),
        ],
    )
    def test_a_key_cannot_use_what_belongs_to_the_person(
        self, shared_api: Api, method: str, path: str
    ) -> None:
        answer = shared_api.client.request(method, path)

        assert answer.json()["type"] == "urn:trainyard:problem:session-required"

    @pytest.mark.parametrize(
        "change",
        [{"role": "administrator"}, {"is_admin": True}, {"theme": "pink"}, {"user": "root"}],
    )
    def test_unknown_fields_and_values_are_refused(
        self, signed_in: Browser, change: dict[str, object]
    ) -> None:
        assert signed_in.client.patch("/v1/me", json=change).status_code == 422


class TestPassword:
    def test_a_new_password_ends_the_other_sessions(self, signed_in: Browser) -> None:
        other = another_browser(signed_in.api)

        answer = signed_in.client.put(
            "/v1/me/password", json={"password": NEW, "current_password": PASSWORD}
        )

        assert answer.status_code == 204, answer.text
        assert other.client.get("/v1/me").status_code == 401
        assert signed_in.client.get("/v1/me").status_code == 200
        assert a_browser(signed_in.api).sign_in(password=NEW) == 200
        assert a_browser(signed_in.api).sign_in(password=PASSWORD) == 401
        with signed_in.api.database.read() as unit:
            changed = unit.session.scalars(
                select(AuditRecord).where(AuditRecord.action == "password.changed")
            ).one()
        assert changed.details == {"name": NAME, "sessions_ended": 1}

    def test_a_first_password_needs_no_current_one(self, signed_in: Browser) -> None:
        with signed_in.api.database.write() as unit:
            unit.session.execute(update(User).values(password_hash=None))

        answer = signed_in.client.put("/v1/me/password", json={"password": NEW})

        assert answer.status_code == 204, answer.text
        assert a_browser(signed_in.api).sign_in(password=NEW) == 200

    def test_a_password_is_in_no_log_line_and_no_answer(
        self, signed_in: Browser, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        bodies = [
            {"password": NEW, "current_password": "guessed now 9"},
            {"password": NEW, "current_password": PASSWORD, "theme": "dark"},
            {"password": NEW, "current_password": PASSWORD},
        ]

        with capture_logs() as lines:
            answers = [signed_in.client.put("/v1/me/password", json=body).text for body in bodies]

        shown = f"{lines} {caplog.text} {answers}"
        assert "/v1/me/password" in shown
        assert [each for each in (NEW, "guessed now 9", PASSWORD) if each in shown] == []

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"password": NEW}, "/current_password"),
            ({"current_password": PASSWORD}, "/password"),
            ({"password": NEW, "current_password": "guessed"}, "/current_password"),
            ({"password": "short", "current_password": PASSWORD}, "/password"),
            ({"password": "Password1", "current_password": PASSWORD}, "/password"),
            ({"password": "zzzzzzzzzz", "current_password": PASSWORD}, "/password"),
        ],
    )
    def test_a_wrong_change_names_the_field(
        self, signed_in: Browser, change: dict[str, str], pointer: str
    ) -> None:
        answer = signed_in.client.put("/v1/me/password", json=change)

        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


class TestSessions:
    def test_the_sessions_of_the_user_are_listed_newest_first(self, signed_in: Browser) -> None:
        newer = a_session(signed_in.api)[0]

        rows = signed_in.client.get("/v1/me/sessions").json()["data"]

        assert [row["is_current"] for row in rows] == [False, True]
        assert rows[0]["id"] == newer
        assert rows[0]["address"] == "192.0.2.1"
        assert rows[0]["user_agent"] == "a browser"

    def test_another_session_of_the_user_can_be_ended(self, signed_in: Browser) -> None:
        other = another_browser(signed_in.api)
        rows = signed_in.client.get("/v1/me/sessions").json()["data"]
        other_id = next(row["id"] for row in rows if not row["is_current"])

        answer = signed_in.client.delete(f"/v1/me/sessions/{other_id}")

        assert answer.status_code == 204
        assert other.client.get("/v1/me").status_code == 401

    def test_an_unknown_session_is_not_found(self, signed_in: Browser) -> None:
        answer = signed_in.client.delete("/v1/me/sessions/ses_" + "0" * 26)

        assert answer.status_code == 404
