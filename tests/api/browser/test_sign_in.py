"""`/session`: browsers sign in and out, and a session ends everywhere at once."""

import json
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from app.accounts.passwords import needs_rehash, verify_password
from app.accounts.tables import BrowserSession, User
from app.audit.tables import AuditRecord
from app.core.database import database_now
from tests.api.browser.browsers import HASH, NAME, PASSWORD, Browser, a_browser, signed_in
from tests.counting import statements_to
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def actions(api: Api) -> list[str]:
    with api.database.read() as unit:
        return list(unit.session.scalars(select(AuditRecord.action).order_by(AuditRecord.id)))


class TestSignIn:
    def test_the_right_password_starts_a_session(self, browser: Browser) -> None:
        answer = browser.client.post("/session", json={"name": NAME, "password": PASSWORD})

        assert answer.status_code == 200, answer.text
        assert answer.json()["user"] == NAME
        assert browser.client.get("/v1/jobs").status_code == 200
        assert actions(browser.api) == ["session.started"]

    def test_a_form_works_like_json(self, browser: Browser) -> None:
        body = f"name={NAME}&password={PASSWORD.replace(' ', '+')}"

        answer = browser.client.post("/session", content=body, headers=FORM)

        assert answer.status_code == 200

    @pytest.mark.parametrize(
        ("name", "password"),
        [(NAME, "wrong password"), ("nobody", PASSWORD), (NAME, PASSWORD.upper())],
        ids=["wrong", "unknown-user", "other-case"],
    )
    def test_wrong_credentials_get_the_same_401(
        self, browser: Browser, name: str, password: str
    ) -> None:
        answer = browser.client.post("/session", json={"name": name, "password": password})

        assert answer.status_code == 401
        assert answer.json()["type"] == "urn:trainyard:problem:unauthenticated"
        assert answer.json()["detail"] == "The name or the password is wrong."
        assert "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        "change",
        [{"password_hash": None}, {"disabled_at": database_now()}],
        ids=["no-password", "disabled"],
    )
    def test_a_user_without_password_or_access_cannot_sign_in(
        self, browser: Browser, change: dict[str, object]
    ) -> None:
        with browser.api.database.write() as unit:
            unit.session.execute(update(User).values(**change))

        assert browser.sign_in() == 401

    def test_a_hash_with_other_parameters_is_renewed_at_the_next_sign_in(
        self, browser: Browser
    ) -> None:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        with browser.api.database.write() as unit:
            unit.session.execute(update(User).values(password_hash=cheap))

        status = browser.sign_in()

        with browser.api.database.read() as unit:
            stored = unit.session.scalars(select(User.password_hash)).one()
        assert status == 200
        assert "m=65536" in str(stored)

    def test_a_sign_in_ends_the_session_that_the_browser_had(self, signed_in: Browser) -> None:
        before = signed_in.token

        signed_in.sign_in()

        planted = a_browser(signed_in.api)
        planted.client.cookies.set("trainyard", before, domain="127.0.0.1")
        assert signed_in.token != before
        assert planted.client.get("/v1/jobs").status_code == 401
        assert actions(signed_in.api) == ["session.started", "session.ended"]

    def test_a_token_that_was_planted_before_the_sign_in_is_not_used(
        self, browser: Browser
    ) -> None:
        browser.client.cookies.set("trainyard", "A" * 43, domain="127.0.0.1")

        browser.sign_in()

        planted = a_browser(browser.api)
        planted.client.cookies.set("trainyard", "A" * 43, domain="127.0.0.1")
        assert planted.client.get("/v1/jobs").status_code == 401

    def test_only_the_hash_of_a_token_is_stored(self, browser: Browser) -> None:
        browser.sign_in()

        with browser.api.database.read() as unit:
            row = unit.session.scalars(select(BrowserSession)).one()
        assert browser.token.encode() not in row.token_sha256
        assert len(row.token_sha256) == 32

    def test_the_51st_session_of_a_user_ends_the_oldest_one(self, api: Api) -> None:
        first = signed_in(api)
        for _ in range(50):
            newest = signed_in(api)

        assert first.client.get("/v1/me").status_code == 401
        assert newest.client.get("/v1/me").status_code == 200


class TestBodyOfSignIn:
    @pytest.mark.parametrize(
        ("body", "headers", "status", "slug"),
        [
            ("{", {}, 400, "invalid-json"),
            ("[]", {}, 422, "validation-error"),
            ('{"name": "a", "name": "b"}', {}, 400, "duplicate-key"),
            ('{"name": "a"}', {}, 422, "validation-error"),
            ('{"name": "a\\u0000", "password": "b"}', {}, 422, "validation-error"),
            ('{"name": "\\ud800", "password": "b"}', {}, 422, "validation-error"),
            ('{"name": "a", "password": "\\ud800"}', {}, 422, "validation-error"),
            ('{"name": "a", "password": "b", "role": "x"}', {}, 422, "validation-error"),
            (json.dumps({"name": "a", "password": "b" * 201}), {}, 422, "validation-error"),
            (json.dumps({"name": "a", "password": "b" * 5000}), {}, 413, "body-too-large"),
            ("name=a&name=b&password=c", FORM, 400, "duplicate-key"),
            ("name=%ff&password=c", FORM, 400, "invalid-form"),
            ("name", FORM, 400, "invalid-form"),
            ("&".join(f"a{number}=1" for number in range(30)), FORM, 400, "invalid-form"),
            ("name=a%00&password=c", FORM, 422, "validation-error"),
            ("name=a&password=b", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
            ("x", {"Content-Type": "multipart/form-data"}, 415, "unsupported-media-type"),
        ],
    )
    def test_a_bad_body_is_refused_by_its_kind(
        self, shared_api: Api, body: str, headers: dict[str, str], status: int, slug: str
    ) -> None:
        client = a_browser(shared_api).client
        given = {"Content-Type": "application/json", **headers}

        answer = client.post("/session", content=body.encode(), headers=given)

        assert answer.status_code == status, answer.text
        assert answer.json()["type"] == f"urn:trainyard:problem:{slug}"
        assert "bbbb" not in answer.text


class TestCookie:
    def test_over_https_the_cookie_is_bound_to_the_host(self, browser: Browser) -> None:
        client = a_browser(browser.api, base_url="https://127.0.0.1").client

        answer = client.post("/session", json={"name": NAME, "password": PASSWORD})

        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("__Host-trainyard=")
        assert set(attributes) == {
            "HttpOnly",
            "Path=/",
            "SameSite=strict",
            "Secure",
            f"Max-Age={30 * 86400}",
        }

    def test_over_http_on_loopback_the_cookie_has_no_secure_attribute(
        self, browser: Browser
    ) -> None:
        answer = browser.client.post("/session", json={"name": NAME, "password": PASSWORD})

        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("trainyard=")
        assert "Secure" not in attributes
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(attributes)

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "trainyard",
            "trainyard=",
            "trainyard=short",
            "trainyard={token}x",
            "trainyard={token}; trainyard={token}",
            "trainyard={token}; trainyard=",
            'trainyard="{token}"',
            "Trainyard={token}",
            "__Host-trainyard={token}",
            "trainyard=\xff\xfe" + "a" * 41,
            "; " * 2000,
            "a=b; " * 1000,
        ],
    )
    def test_a_cookie_that_the_server_did_not_set_so_counts_as_none(
        self, api: Api, header: str
    ) -> None:
        token = signed_in(api).token
        client = a_browser(api).client

        cookie = header.format(token=token).encode("latin-1")
        answer = client.get("/v1/me", headers={b"Cookie": cookie})

        assert answer.status_code == 401

    def test_two_cookie_headers_count_as_two_cookies(self, api: Api) -> None:
        token = signed_in(api).token.encode()
        headers = [(b"Cookie", b"trainyard=" + token), (b"Cookie", b"trainyard=" + token)]

        answer = a_browser(api).client.get("/v1/me", headers=headers)

        assert answer.status_code == 401

    def test_the_cookie_of_http_does_not_work_over_https(self, api: Api) -> None:
        token = signed_in(api).token
        client = a_browser(api, base_url="https://127.0.0.1").client

        refused = client.get("/v1/me", headers={"Cookie": f"trainyard={token}"})
        accepted = client.get("/v1/me", headers={"Cookie": f"__Host-trainyard={token}"})

        assert (refused.status_code, accepted.status_code) == (401, 200)

    def test_a_key_wins_over_a_cookie(self, signed_in: Browser) -> None:
        key = signed_in.api.key
        right = signed_in.client.get("/v1/me", headers={"Authorization": f"Bearer {key}"})
        wrong = signed_in.client.get("/v1/me", headers={"Authorization": "Bearer wrong"})

        assert (right.status_code, wrong.status_code) == (200, 401)


class TestEnd:
    def test_a_session_is_refused_after_sign_out(self, signed_in: Browser) -> None:
        token = signed_in.token

        answer = signed_in.client.delete("/session")

        again = a_browser(signed_in.api)
        again.client.cookies.set("trainyard", token, domain="127.0.0.1")
        assert answer.status_code == 204
        assert "trainyard=" in answer.headers["set-cookie"]
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert again.client.get("/v1/jobs").status_code == 401
        assert actions(signed_in.api) == ["session.ended"]

    def test_a_key_has_no_session_to_end(self, api: Api) -> None:
        answer = api.client.delete("/session")

        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:trainyard:problem:session-required"

    @pytest.mark.parametrize(
        "change",
        [
            {"expires_at": database_now()},
            {"last_seen_at": database_now(-timedelta(days=7))},
        ],
        ids=["absolute", "idle"],
    )
    def test_an_expired_session_is_refused(
        self, signed_in: Browser, change: dict[str, object]
    ) -> None:
        with signed_in.api.database.write() as unit:
            unit.session.execute(update(BrowserSession).values(**change))

        assert signed_in.client.get("/v1/jobs").status_code == 401

    def test_a_session_that_was_used_within_the_idle_time_is_accepted(
        self, signed_in: Browser
    ) -> None:
        almost = database_now(-timedelta(days=7) + timedelta(minutes=5))
        with signed_in.api.database.write() as unit:
            unit.session.execute(update(BrowserSession).values(last_seen_at=almost))

        assert signed_in.client.get("/v1/jobs").status_code == 200

    def test_the_session_of_a_disabled_user_is_refused_at_once(self, signed_in: Browser) -> None:
        assert signed_in.client.get("/v1/me").status_code == 200
        with signed_in.api.database.write() as unit:
            unit.session.execute(update(User).values(disabled_at=database_now()))

        assert signed_in.client.get("/v1/me").status_code == 401


class TestRequests:
    def test_a_request_with_a_session_looks_it_up_in_one_statement(
        self, signed_in: Browser
    ) -> None:
        with statements_to(signed_in.api.database) as statements:
            signed_in.client.get("/v1/trainers")

        assert statements.count("SELECT sessions") == 1
        assert not {"SELECT users", "SELECT memberships", "UPDATE sessions"} & set(statements)

    def test_a_session_may_do_what_its_user_may(self, signed_in: Browser) -> None:
        answer = signed_in.client.post("/v1/jobs", json=signed_in.api.spec())

        assert answer.status_code == 201, answer.text

    def test_the_hash_of_the_tests_is_that_of_their_password(self) -> None:
        assert verify_password(PASSWORD, HASH)
        assert not needs_rehash(HASH)
