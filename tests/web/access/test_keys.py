"""Keys on a page: made with chosen scopes, shown once, rotated and revoked."""

import re

import pytest

from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened, submitted

pytestmark = pytest.mark.mostly_sqlite

KEYS = "/access/keys"


def a_key(browser: Browser, label: str) -> Document:
    """Make a key by the form, and return the page that shows it."""
    sent = submitted(browser, KEYS, label=label, scope="jobs:read", days="30")
    assert sent.status == 200, sent.source
    return sent.page


def secret_on(page: Document) -> str:
    return page.one("code", id="newkey").text


class TestCreate:
    def test_a_new_key_is_shown_and_works(self, browser: Browser) -> None:
        page = a_key(browser, "ci")

        key = secret_on(page)
        answer = browser.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200

    def test_a_new_key_is_shown_once(self, browser: Browser) -> None:
        key = secret_on(a_key(browser, "once"))

        page = opened(browser, KEYS)

        assert key not in page.source
        assert "once" in page.text

    def test_a_page_with_a_key_is_not_compressed(self, browser: Browser) -> None:
        answer = browser.client.post(
            KEYS,
            data={"label": "plain", "scope": "jobs:read"},
            headers={"Accept": "text/html", "Accept-Encoding": "gzip"},
        )

        assert "newkey" in answer.text
        assert "content-encoding" not in answer.headers

    def test_a_new_key_has_the_ticked_scopes_and_the_chosen_life(self, browser: Browser) -> None:
        a_key(browser, "narrow")

        (made,) = [
            key for key in browser.client.get("/v1/keys").json()["data"] if key["label"] == "narrow"
        ]
        assert made["scopes"] == ["jobs:read"]
        assert made["expires_at"] is not None

    def test_a_key_without_scopes_is_refused_and_the_label_stays(self, browser: Browser) -> None:
        sent = submitted(browser, KEYS, label="nothing", days="0")

        assert sent.status == 422
        assert "/scopes" in sent.page.text
        assert sent.page.one("input", id="k-label").attributes["value"] == "nothing"

    def test_hostile_text_in_a_label_is_text(self, browser: Browser) -> None:
        page = a_key(browser, "<b>bold</b>")

        assert "“<b>bold</b>”" in page.text
        assert page.all("b", text="bold") == []


class TestChange:
    def test_a_rotated_key_is_shown_and_the_old_one_still_works(self, browser: Browser) -> None:
        old = secret_on(a_key(browser, "turning"))
        page = opened(browser, KEYS)
        action = _action_of(page, "Rotate turning")

        new = secret_on(submitted(browser, action).page)

        for key in (old, new):
            answer = browser.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200

    def test_a_revoked_key_is_refused(self, browser: Browser) -> None:
        key = secret_on(a_key(browser, "leaked"))
        action = _action_of(opened(browser, KEYS), "Revoke leaked")

        sent = submitted(browser, action)

        assert (sent.status, sent.location) == (303, KEYS)
        answer = browser.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401


def _action_of(page: Document, label: str) -> str:
    """Return where the button with this accessible name sends its form."""
    (button,) = [
        each
        for each in page.all("button")
        if re.match(re.escape(label), each.attributes.get("aria-label", ""))
    ]
    return button.attributes["formaction"]
