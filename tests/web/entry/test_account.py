"""The own account: a first password without another, the look of the pages, the browsers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.browser.browsers import PASSWORD, Browser, a_browser, signed_in, with_password
from tests.web.jobs.pages import opened, submitted
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

NEW = "a new battery staple"


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    yield from serving(on(database_url, tmp_path / "home"))


@pytest.fixture
def browser(api: Api) -> Browser:
    return signed_in(api)


class TestPassword:
    def test_a_user_without_one_is_asked_for_it_on_every_page(self, browser: Browser) -> None:
        assert "/account" in opened(browser, "/jobs").links
        assert "Choose a password" in opened(browser, "/jobs").text

    def test_the_first_one_needs_no_other(self, browser: Browser, api: Api) -> None:
        sent = submitted(browser, "/account/password", password=NEW)

        assert (sent.status, sent.location) == (303, "/account?done=password")
        assert a_browser(api).sign_in("owner", NEW) == 200
        assert "Choose a password" not in opened(browser, "/jobs").text

    def test_a_change_needs_the_current_one(self, browser: Browser, api: Api) -> None:
        with_password(api)

        wrong = submitted(browser, "/account/password", current_password="no", password=NEW)
        right = submitted(browser, "/account/password", current_password=PASSWORD, password=NEW)

        assert wrong.status == 422
        assert wrong.page.one("input", id="a-old").attributes["aria-invalid"] == "true"
        assert right.status == 303

    def test_a_weak_one_is_told_at_its_field(self, browser: Browser) -> None:
        sent = submitted(browser, "/account/password", password="password")

        assert sent.status == 422
        assert sent.page.one("input", id="a-new").attributes["aria-invalid"] == "true"


class TestLook:
    def test_the_chosen_colours_are_those_of_the_next_page(self, browser: Browser) -> None:
        submitted(browser, "/account/look", theme="dark")

        page = opened(browser, "/jobs")

        assert page.one("html").attributes["data-theme"] == "dark"

    def test_single_keys_are_switched_off(self, browser: Browser) -> None:
        submitted(browser, "/account/look", theme="auto")

        assert opened(browser, "/jobs").one("html").attributes["data-shortcuts"] == "off"


class TestBrowsers:
    def test_another_browser_is_signed_out_by_a_button(self, browser: Browser, api: Api) -> None:
        other = signed_in(api)
        page = opened(browser, "/account")
        (action,) = [each for each in page.actions if each.startswith("/account/sessions/")]

        sent = submitted(browser, action)

        assert sent.status == 303
        assert other.client.get("/v1/me").status_code == 401
        assert browser.client.get("/v1/me").status_code == 200
