"""The list of jobs by pointer, by keyboard and without JavaScript."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from app.core.database import database_now
from app.jobs.states import JobState
from tests.browser.conftest import OpenContext
from tests.browser.site import Site
from tests.worlds.rows import job_row

HOSTILE = "<img src=x onerror=alert(1)>\"'" + "very-long-" * 16


@pytest.fixture(scope="module")
def jobs(site: Site) -> dict[str, str]:
    """Jobs by their names; the last one is the newest."""
    ended = {"state": JobState.FAILED, "started_at": database_now(), "ended_at": database_now()}
    return {
        "cancelled": site.a_job(name="cancelled"),  # by a test
        "ended": site.a_job(name="ended", **ended),
        "third": site.a_job(name="third"),
        "second": site.a_job(name="second"),
        "first": site.a_job(name="first"),
    }


@pytest.fixture
def page(jobs: dict[str, str], signed_in_page: Page) -> Page:
    """The list of jobs."""
    assert jobs
    signed_in_page.goto("/jobs")
    expect(signed_in_page.locator("#live")).to_have_text("Live")
    return signed_in_page


def box_of(page: Page, job: str) -> Locator:
    return page.locator(f"#{job} .sel")


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


class TestSelection:
    def test_the_bar_comes_with_the_first_tick_and_moves_nothing(
        self, page: Page, jobs: dict[str, str]
    ) -> None:
        bar, pager = page.locator(".bulk"), page.locator(".pager")
        before = pager.bounding_box()
        expect(bar).to_be_hidden()

        box_of(page, jobs["first"]).check()

        expect(bar).to_be_visible()
        expect(page.locator("#picked")).to_have_text("1 selected")
        expect(page.locator("#compare")).to_be_disabled()
        assert pager.bounding_box() == before

    def test_a_range_is_selected_with_shift_and_compared_by_one_address(
        self, page: Page, jobs: dict[str, str]
    ) -> None:
        box_of(page, jobs["first"]).click()
        box_of(page, jobs["third"]).click(modifiers=["Shift"])
        expect(page.locator("#picked")).to_have_text("3 selected")

        page.route("**/jobs/compare?**", lambda route: route.fulfill(body="compared"))
        page.locator("#compare").click()

        page.wait_for_url("**/jobs/compare?**")
        ids = [jobs[name] for name in ("first", "second", "third")]
        assert query_of(page) == {"jobs": [",".join(ids)]}

    def test_a_cancel_is_asked_and_can_be_left(
        self, site: Site, page: Page, jobs: dict[str, str]
    ) -> None:
        box_of(page, jobs["cancelled"]).check()
        page.locator("#cancel").click()
        question = page.locator("dialog.confirm")
        expect(question).to_contain_text("Cancel the selected jobs?")

        page.keyboard.press("Escape")
        expect(question).to_have_count(0)
        assert job_row(site.database, jobs["cancelled"]).state is JobState.QUEUED

        page.locator("#cancel").click()
        question.locator("button.danger").click()
        expect(page.locator(f"#{jobs['cancelled']} .c-state")).to_have_text("Cancelled")


class TestFilters:
    def test_a_choice_by_pointer_counts_at_once_and_leaves_a_short_address(
        self, page: Page
    ) -> None:
        page.locator("#f-s").click()
        page.locator("#f-s").select_option("name")

        page.wait_for_url(re.compile(r"sort=name"))
        assert query_of(page) == {"sort": ["name"]}

    def test_a_choice_by_keyboard_waits_for_enter(self, page: Page) -> None:
        page.locator("#f-m").focus()
        page.keyboard.press("ArrowDown")
        chosen = page.locator("#f-m").input_value()
        assert query_of(page) == {}

        page.keyboard.press("Enter")

        page.wait_for_url(re.compile(r"model="))
        assert query_of(page) == {"model": [chosen]}


class TestSinceTheLastLook:
    def test_the_line_tells_what_ended_meanwhile(self, site: Site, page: Page) -> None:
        expect(page.locator("#looked")).to_have_count(0)
        page.goto("about:blank")
        ended = {"state": JobState.SUCCEEDED, "started_at": database_now()}
        job = site.a_job(name="meanwhile", **ended, ended_at=database_now())

        page.goto("/jobs")

        line = page.locator("#looked")
        expect(line).to_have_text(re.compile(r"^Since you last looked, \d+ s ago: 1 succeeded\. $"))
        line.locator("a").click()
        expect(page.locator("tr[id]")).to_have_id(job)
        expect(page.locator(".since")).to_contain_text("Only jobs that ended after")


class TestKeyboard:
    def test_rows_are_reached_and_selected(self, page: Page) -> None:
        rows = page.locator("tbody tr[id]")

        page.keyboard.press("j")
        expect(rows.nth(0).locator("a.name")).to_be_focused()
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("Shift+X")
        page.keyboard.press("k")

        expect(rows.nth(1).locator("a.name")).to_be_focused()
        ticks = [rows.nth(index).locator(".sel").is_checked() for index in range(4)]
        assert ticks == [True, True, True, False]

    def test_help_opens_and_typing_in_a_field_is_typing(self, page: Page) -> None:
        page.keyboard.press("/")
        page.keyboard.type("n?jx")
        expect(page.locator("#q")).to_have_value("n?jx")
        page.locator("#q").blur()

        page.keyboard.press("?")

        expect(page.locator("#help")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#help")).to_be_hidden()

    def test_shortcuts_are_switched_off_here_and_for_later_pages(self, page: Page) -> None:
        page.keyboard.press("?")
        with page.expect_response("**/v1/me") as saved:
            page.locator("#keys-off").check()
        page.locator("#help [data-close]").click()
        page.keyboard.press("j")
        expect(page.locator("a.name:focus")).to_have_count(0)
        assert saved.value.ok

        page.reload()

        expect(page.locator("html")).to_have_attribute("data-shortcuts", "off")
        page.evaluate("Trainyard.send('PATCH', '/v1/me', {keys: true})")

    def test_g_goes_to_another_page(self, page: Page) -> None:
        page.keyboard.press("g")
        page.keyboard.press("w")

        page.wait_for_url("**/workers")


class TestWithoutJavaScript:
    def test_filters_and_actions_work(
        self, jobs: dict[str, str], open_context: OpenContext
    ) -> None:
        page = open_context(java_script_enabled=False).new_page()
        page.goto("/jobs")
        page.locator("#q").fill("thi")
        page.locator("button", has_text="Show").click()
        expect(page.locator("tr[id]")).to_have_count(1)

        box_of(page, jobs["third"]).check()
        page.locator("button", has_text="Pause").click()

        expect(page.locator(f"#{jobs['third']} .c-state")).to_have_text("Paused")
        assert query_of(page) == {"q": ["thi"]}
        expect(page.locator("#clear")).to_be_hidden()


class TestWidths:
    @pytest.mark.parametrize("width", [390, 768, 1100, 1440])
    def test_a_long_hostile_name_does_not_widen_the_page(
        self, site: Site, open_context: OpenContext, width: int
    ) -> None:
        site.submit(name=HOSTILE, tags={"key" * 10: "value" * 40})
        page = open_context(viewport={"width": width, "height": 900}).new_page()

        page.goto("/jobs")

        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
