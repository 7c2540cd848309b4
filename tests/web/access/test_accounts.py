"""Users, projects, quotas, webhooks and the audit log as pages."""

import pytest

from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import opened, submitted

pytestmark = pytest.mark.mostly_sqlite


class TestUsers:
    def test_a_new_user_is_listed(self, browser: Browser) -> None:
        sent = submitted(browser, "/access/users", name="grace")

        assert (sent.status, sent.location) == (303, "/access/users")
        assert "grace" in opened(browser, "/access/users").text

    def test_a_name_that_is_taken_is_told_and_kept_in_the_form(self, browser: Browser) -> None:
        sent = submitted(browser, "/access/users", name="owner")

        assert sent.status in {409, 422}
        assert sent.page.one("input", id="u-name").attributes["value"] == "owner"
        assert sent.page.all("div", role="alert") != []

    def test_a_disabled_user_is_told_apart_by_a_word(self, browser: Browser) -> None:
        submitted(browser, "/access/users", name="joan")
        (joan,) = [
            user
            for user in browser.client.get("/v1/users").json()["data"]
            if user["name"] == "joan"
        ]

        sent = submitted(browser, f"/access/users/{joan['id']}/disable")

        assert sent.status == 303
        assert "disabled" in opened(browser, "/access/users").text


class TestProjects:
    def test_a_new_project_opens_with_its_members_and_quotas(self, browser: Browser) -> None:
        sent = submitted(browser, "/access/projects", name="line-4")

        page = opened(browser, sent.location)
        assert "line-4" in page.text
        assert "Running jobs" in page.text

    def test_a_member_gets_a_role(self, browser: Browser) -> None:
        submitted(browser, "/access/users", name="mary")
        project = submitted(browser, "/access/projects", name="line-5").location

        sent = submitted(browser, f"{project}/members", user="mary", role="viewer")

        assert sent.status == 303
        assert "mary" in opened(browser, project).text

    def test_a_quota_that_is_no_number_is_told(self, browser: Browser) -> None:
        project = submitted(browser, "/access/projects", name="line-6").location

        sent = submitted(browser, f"{project}/quotas", running_jobs="many")

        assert sent.status == 422
        assert "/running_jobs" in sent.page.text

    def test_a_quota_is_set(self, browser: Browser) -> None:
        project = submitted(browser, "/access/projects", name="line-7").location

        submitted(browser, f"{project}/quotas", running_jobs="2")

        assert opened(browser, project).one("input", id="q-running_jobs").attributes["value"] == "2"


class TestWebhooks:
    def test_an_address_that_is_not_allowed_is_told_and_kept(self, browser: Browser) -> None:
        sent = submitted(
            browser,
            "/access/webhooks",
            url="http://10.0.0.1/",
            project="default",
            events="job.*",
        )

        assert sent.status == 422
        assert sent.page.one("input", id="w-url").attributes["value"] == "http://10.0.0.1/"

    def test_a_new_webhook_shows_its_secret_once(self, browser: Browser) -> None:
        sent = submitted(
            browser,
            "/access/webhooks",
            url="https://1.1.1.1/hooks",
            project="default",
            events="job.succeeded, dataset.*",
            description="Chat",
        )

        assert sent.page.one("code", id="secret").text.startswith("whsec_")
        listed = opened(browser, "/access/webhooks")
        assert "https://1.1.1.1/hooks" in listed.text
        assert "whsec_" not in listed.source


class TestAudit:
    def test_changes_are_listed_with_who_made_them(self, browser: Browser) -> None:
        submitted(browser, "/access/users", name="ida")

        page = opened(browser, "/access/audit")

        assert "user.created" in page.text
        assert "owner" in page.text
