"""Pages of other sites cannot use the session of a browser, nor start one in it."""

from typing import Final

import pytest

from tests.api.browser.browsers import NAME, PASSWORD, Browser, a_browser, signed_in, with_password
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

WRITING = ("POST", "PUT", "PATCH", "DELETE")
HOST = {"Host": "127.0.0.1:8080"}
FOREIGN = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "unknown-site": {"Sec-Fetch-Site": "SAME-ORIGIN"},
    "empty-site": {"Sec-Fetch-Site": ""},
    "cross-site-with-our-origin": {
        "Sec-Fetch-Site": "cross-site",
        "Origin": "http://127.0.0.1:8080",
    },
    "foreign-origin": {"Origin": "https://attacker.test"},
    "null-origin": {"Origin": "null"},
    "empty-origin": {"Origin": ""},
    "other-port": {"Origin": "http://127.0.0.1:8081"},
    "no-port": {"Origin": "http://127.0.0.1"},
    "other-scheme": {"Origin": "https://127.0.0.1:8080"},
    "localhost": {"Origin": "http://localhost:8080"},
    "prefix": {"Origin": "http://127.0.0.1:8080.attacker.test"},
    "user": {"Origin": "http://127.0.0.1:8080@attacker.test"},
    "path": {"Origin": "http://127.0.0.1:8080/"},
}
OURS = {
    "same-origin": {"Sec-Fetch-Site": "same-origin"},
    "typed": {"Sec-Fetch-Site": "none"},
    "our-origin": {"Origin": "http://127.0.0.1:8080"},
    "same-origin-behind-a-proxy": {
        "Sec-Fetch-Site": "same-origin",
        "Origin": "https://public.test",
    },
}
NO_BODY = {"theme": "dark"}


def sent(browser: Browser, method: str, path: str, headers: dict[str, str]) -> str:
    """Send a request with these headers only; return the status and the slug of a problem."""
    for name in ("sec-fetch-site", "origin"):
        browser.client.headers.pop(name, None)
    answer = browser.client.request(method, path, json=NO_BODY, headers={**HOST, **headers})
    problem = answer.headers["content-type"] == "application/problem+json"
    slug = answer.json()["type"].rpartition(":")[2] if problem else ""
    return f"{answer.status_code} {slug}".strip()


@pytest.fixture(scope="module")
def shared_browser(shared_api: Api) -> Browser:
    return signed_in(with_password(shared_api))


OF_PROGRAMS: Final = {"/v1/logins", "/v1/logins/poll"}
"""Routes that do not look at the session of a browser."""


class TestRequestsWithASession:
    @pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
    def test_a_page_of_another_site_cannot_change_anything(
        self, shared_browser: Browser, headers: dict[str, str]
    ) -> None:
        assert sent(shared_browser, "PATCH", "/v1/me", headers) == "403 csrf"

    @pytest.mark.parametrize("headers", OURS.values(), ids=OURS)
    def test_a_page_of_ours_can(self, shared_browser: Browser, headers: dict[str, str]) -> None:
        assert sent(shared_browser, "PATCH", "/v1/me", headers) == "200"

    def test_a_request_that_says_nothing_of_its_source_is_refused(
        self, shared_browser: Browser
    ) -> None:
        assert sent(shared_browser, "PATCH", "/v1/me", {}) == "403 csrf"

    def test_two_origins_are_none(self, shared_browser: Browser) -> None:
        shared_browser.client.headers.pop("sec-fetch-site", None)
        ours = (b"Origin", b"http://127.0.0.1:8080")
        headers = [ours, ours, (b"Host", b"127.0.0.1:8080")]

        answer = shared_browser.client.patch("/v1/me", json=NO_BODY, headers=headers)

        assert answer.status_code == 403

    def test_every_writing_route_refuses_another_site(self, shared_browser: Browser) -> None:
        paths = shared_browser.api.app.openapi()["paths"]
        routes = [
            (method.upper(), path.format_map(_AnyId()))
            for path, item in paths.items()
            for method in item
            if method.upper() in WRITING and "/setup/" not in path and path not in OF_PROGRAMS
        ]

        answers = {
            (method, path): sent(shared_browser, method, path, FOREIGN["cross-site"])
            for method, path in routes
        }

        assert len(answers) > 20
        assert {method for method, _ in routes} >= {"POST", "PATCH", "DELETE"}
        assert {key for key, answer in answers.items() if answer != "403 csrf"} == set()

    def test_another_site_may_cause_a_read(self, shared_browser: Browser) -> None:
        answer = sent(shared_browser, "GET", "/v1/me", FOREIGN["cross-site"])

        assert answer == "200"

    def test_a_request_with_a_key_is_not_concerned(self, shared_api: Api) -> None:
        headers = {**HOST, **FOREIGN["foreign-origin"]}

        answer = shared_api.client.post("/v1/jobs", json=shared_api.spec(), headers=headers)

        assert answer.status_code == 201

    def test_a_request_with_a_key_and_a_cookie_is_not_concerned(
        self, shared_browser: Browser
    ) -> None:
        key = {"Authorization": f"Bearer {shared_browser.api.key}"}

        answer = sent(shared_browser, "PATCH", "/v1/me", {**FOREIGN["cross-site"], **key})

        assert answer == "403 session-required"


class TestSignIn:
    @pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
    def test_another_site_cannot_sign_a_browser_in(
        self, shared_api: Api, headers: dict[str, str]
    ) -> None:
        assert sent(a_browser(shared_api), "POST", "/session", headers) == "403 csrf"

    @pytest.mark.parametrize("path", ["/session", "/setup/" + "A" * 43])
    def test_a_program_without_either_header_is_not_taken_for_another_site(
        self, shared_api: Api, path: str
    ) -> None:
        assert sent(a_browser(shared_api), "POST", path, {}) in {
            "422 validation-error",
            "410 setup-closed",
        }

    def test_a_session_needs_https_from_other_machines(self, browser: Browser) -> None:
        browser.api.app.state.allowed_hosts = ("gpu.test",)
        client = a_browser(browser.api, base_url="http://gpu.test").client
        client.app.middleware_stack = None  # type: ignore[attr-defined] # reads the names again

        answer = client.post("/session", json={"name": NAME, "password": PASSWORD})

        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:trainyard:problem:insecure-connection"

    def test_an_unknown_host_is_refused_before_anything_else(self, shared_browser: Browser) -> None:
        headers = {"Host": "attacker.test", "Origin": "http://attacker.test"}

        assert sent(shared_browser, "PATCH", "/v1/me", headers) == "400 bad-host"


class _AnyId(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "job_00000000000000000000000000"
