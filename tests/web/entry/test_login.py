"""The page on which a user confirms the short code of a program."""

import pytest

from tests.api.browser.browsers import Browser, a_browser
from tests.web.jobs.pages import opened, submitted

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def login(browser: Browser) -> dict[str, str]:
    """A program has begun to log in."""
    body = {"host": "ada-laptop", "scopes": ["jobs:read"], "key_expires_in_seconds": 86400}
    begun: dict[str, str] = a_browser(browser.api).client.post("/v1/logins", json=body).json()
    return begun


def polled(browser: Browser, login: dict[str, str]) -> int:
    """Ask for the key as the program does, and return the status."""
    body = {"device_code": login["device_code"]}
    return a_browser(browser.api).client.post("/v1/logins/poll", json=body).status_code


class TestLogin:
    def test_without_a_code_the_page_asks_for_it(self, browser: Browser) -> None:
        page = opened(browser, "/login")

        assert page.one("input", id="code").attributes["name"] == "code"

    def test_with_a_code_it_shows_host_scopes_and_life(
        self, browser: Browser, login: dict[str, str]
    ) -> None:
        page = opened(browser, f"/login?code={login['user_code']}")

        for shown in (login["user_code"], "ada-laptop", "jobs:read", "after 1 d"):
            assert shown in page.text

    def test_confirming_gives_the_program_its_key(
        self, browser: Browser, login: dict[str, str]
    ) -> None:
        sent = submitted(browser, "/login", code=login["user_code"], decision="confirm")

        assert "gets its key" in sent.page.text
        assert polled(browser, login) == 200

    def test_a_code_may_be_typed_with_a_space(
        self, browser: Browser, login: dict[str, str]
    ) -> None:
        typed = login["user_code"].replace("-", " ").lower()

        shown = opened(browser, f"/login?code={typed}")
        submitted(browser, "/login", code=typed, decision="confirm")

        assert "ada-laptop" in shown.text
        assert polled(browser, login) == 200

    @pytest.mark.parametrize("code", ["BCDF/1234", "BCDF%2F1234", "..", "🚃"])
    def test_text_that_is_no_code_is_told(self, browser: Browser, code: str) -> None:
        page = opened(browser, f"/login?code={code}", status=404)

        assert page.one("input", id="code").attributes["name"] == "code"

    def test_refusing_gives_none(self, browser: Browser, login: dict[str, str]) -> None:
        submitted(browser, "/login", code=login["user_code"], decision="refuse")

        assert polled(browser, login) == 403

    def test_looking_confirms_nothing(self, browser: Browser, login: dict[str, str]) -> None:
        opened(browser, f"/login?code={login['user_code']}&decision=confirm")

        assert polled(browser, login) == 409

    def test_a_wrong_code_is_told_and_can_be_mended(self, browser: Browser) -> None:
        page = opened(browser, "/login?code=BCDF-0000", status=404)

        assert "10 minutes" in page.text
        assert page.one("input", id="code").attributes["value"] == "BCDF-0000"

    def test_a_form_of_another_site_confirms_nothing(
        self, browser: Browser, login: dict[str, str]
    ) -> None:
        answer = browser.client.post(
            "/login",
            data={"code": login["user_code"], "decision": "confirm"},
            headers={"Sec-Fetch-Site": "cross-site", "Accept": "text/html"},
        )

        assert answer.status_code == 403
        assert polled(browser, login) == 409

    def test_a_stranger_signs_in_first_and_comes_back(self, browser: Browser) -> None:
        client = a_browser(browser.api).client

        answer = client.get(
            "/login?code=BCDF-1234", headers={"Accept": "text/html"}, follow_redirects=False
        )

        assert answer.headers["location"] == "/sign-in?next=%2Flogin%3Fcode%3DBCDF-1234"
