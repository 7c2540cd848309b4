"""What happens elsewhere changes an open page by itself, and nothing else moves."""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import Complaints, OpenContext
from tests.browser.pages import a_late_page, heard_by, listen, wait_to_hear
from tests.browser.site import Site
from tests.browser.training import Training, a_training

REMEMBER = """
row => {
  const box = row.querySelector(".sel"), link = row.querySelector("a.name");
  box.click();
  link.focus();
  globalThis.before = {row, link, top: row.getBoundingClientRect().top};
}
"""
SAME = """
() => {
  const row = document.getElementById(before.row.id);
  return {
    row: row === before.row,
    focus: document.activeElement === before.link,
    tick: row.querySelector(".sel").checked,
    moved: row.getBoundingClientRect().top - before.top,
  };
}
"""


@pytest.fixture
def training(site: Site) -> Training:
    return a_training(site, "night-shift")


def row_of(page: Page, training: Training) -> Locator:
    return page.locator(f"#{training.job}")


class TestRows:
    def test_numbers_change_in_place(self, training: Training, signed_in_page: Page) -> None:
        signed_in_page.goto("/jobs")
        row = row_of(signed_in_page, training)
        expect(row.locator(".ep")).to_have_text("1/9")

        training.progress(2, batch=8, eta_seconds=3661)

        expect(row.locator(".ep")).to_have_text("2/9")
        expect(row.locator(".eta")).to_have_text("1 h 1 min left")
        assert row.locator("progress").get_attribute("value") == "0.2222"

    def test_a_changed_row_keeps_its_node_its_focus_and_its_tick(
        self, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto("/jobs")
        row = row_of(signed_in_page, training)
        row.evaluate(REMEMBER)

        training.epoch(1, 0.25)
        training.epoch(2, 0.5)

        expect(row.locator(".c-best")).to_have_text("0.500")
        expect(row.locator(".c-metric")).to_have_text("F1, ep 2")
        same = {"row": True, "focus": True, "tick": True, "moved": 0}
        assert signed_in_page.evaluate(SAME) == same

    def test_a_job_that_ends_keeps_its_place_until_the_next_load(
        self, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto("/jobs")
        active = signed_in_page.locator(f"#active #{training.job}")
        running = signed_in_page.locator("#states a", has_text="Running")
        before = running.inner_text()

        training.succeed()

        expect(active.locator(".c-state")).to_have_text("Succeeded")
        expect(running).not_to_have_text(before)
        signed_in_page.reload()
        expect(signed_in_page.locator(f"#ended #{training.job}")).to_be_visible()


class TestNewJobs:
    def test_they_come_by_themselves_where_nobody_is_busy(
        self, site: Site, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto("/jobs")
        expect(row_of(signed_in_page, training)).to_be_visible()

        job = site.submit(name="brand-new")

        expect(signed_in_page.locator("#active tr[id]").first).to_have_id(job)
        expect(signed_in_page.locator("#new-jobs")).to_have_count(0)

    def test_a_line_tells_somebody_who_reads_the_list(
        self, site: Site, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto("/jobs?sort=-created")
        row_of(signed_in_page, training).evaluate(REMEMBER)

        first = site.submit(name="one-more")
        site.submit(name="two-more")

        line = signed_in_page.locator("#new-jobs")
        expect(line).to_have_text("2 new jobs")
        assert signed_in_page.evaluate(SAME)["moved"] == 0
        line.click()
        expect(signed_in_page.locator(f"#{first}")).to_be_visible()

    def test_those_that_do_not_match_the_filters_stay_away(
        self, site: Site, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto("/jobs?q=night")
        row_of(signed_in_page, training).evaluate(REMEMBER)

        site.submit(name="day-shift")
        site.submit(name="night-flight")

        expect(signed_in_page.locator("#new-jobs")).to_have_text("1 new job")


class TestLateTabs:
    def test_the_first_tab_gets_what_came_since_it_was_rendered(
        self, training: Training, context: BrowserContext
    ) -> None:
        late, held = a_late_page(context)
        row = row_of(late, training)
        expect(row.locator(".ep")).to_have_text("1/9")

        training.epoch(1, 0.75)
        training.succeed()
        expect(row.locator(".c-state")).to_contain_text("Running")
        held[0].continue_()

        expect(row.locator(".c-state")).to_have_text("Succeeded")
        expect(row.locator(".c-best")).to_have_text("0.750")

    def test_a_tab_gets_what_others_got_since_it_was_rendered(
        self, training: Training, context: BrowserContext
    ) -> None:
        other = context.new_page()
        other.goto("/jobs")
        expect(other.locator("#live")).to_have_text("Live")
        late, held = a_late_page(context)
        expect(row_of(late, training).locator(".ep")).to_have_text("1/9")

        training.succeed()
        expect(row_of(other, training).locator(".c-state")).to_have_text("Succeeded")
        expect(row_of(late, training).locator(".c-state")).to_contain_text("Running")
        held[0].continue_()

        expect(row_of(late, training).locator(".c-state")).to_have_text("Succeeded")


class TestServerGone:
    def test_a_server_that_is_killed_and_back_costs_no_event_and_repeats_none(
        self, site: Site, training: Training, context: BrowserContext, complaints: Complaints
    ) -> None:
        complaints.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY")
        page = context.new_page()
        listen(page)
        page.goto("/jobs")
        lamp = page.locator("#live")
        training.epoch(1, 0.1)
        expect(row_of(page, training).locator(".c-best")).to_have_text("0.100")

        site.program.kill()
        expect(lamp).to_have_text("Reconnecting")
        training.epoch(2, 0.2)
        training.epoch(3, 0.3)
        site.program.started()
        expect(lamp).to_have_text("Live")
        training.epoch(4, 0.4)

        expect(row_of(page, training).locator(".c-best")).to_have_text("0.400")
        wait_to_hear(page, training.job, 7)  # a tick may bring the numbers before the event
        assert heard_by(page, training.job) == [4, 5, 6, 7]


class TestSession:
    def test_a_sign_out_in_another_tab_is_told_and_ends_with_the_next_sign_in(
        self, site: Site, training: Training, open_context: OpenContext, complaints: Complaints
    ) -> None:
        complaints.allow("401")
        context = open_context()
        page, other = context.new_page(), context.new_page()
        page.goto("/jobs")
        other.goto("/jobs")
        expect(page.locator("#live")).to_have_text("Live")

        other.locator("summary", has_text="owner").click()
        other.locator("button", has_text="Sign out").click()

        expect(page.locator("#live")).to_have_text("Signed out")
        expect(page.locator("#signed-out a")).to_have_attribute("href", "/sign-in?next=%2Fjobs")
        expect(row_of(page, training)).to_be_visible()
        site.sign_in(context)
        other.goto("/jobs")
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("#signed-out")).to_have_count(0)


class TestJobPage:
    def test_numbers_and_the_title_follow_the_training(
        self, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto(f"/jobs/{training.job}")
        head = signed_in_page.locator(f"#{training.job}")

        training.progress(2, batch=3, eta_seconds=61)

        expect(head.locator(".ep")).to_have_text("2/9")
        expect(head.locator(".batch")).to_have_text("3/8")
        expect(head.locator(".eta")).to_have_text("1 min 1 s left")
        expect(signed_in_page).to_have_title("2/9 · night-shift · Trainyard")

    def test_the_header_is_replaced_when_the_state_changes(
        self, training: Training, signed_in_page: Page
    ) -> None:
        signed_in_page.goto(f"/jobs/{training.job}")
        head = signed_in_page.locator(f"#{training.job}")
        training.progress(3)
        expect(head.locator(".ep")).to_have_text("3/9")

        training.succeed()

        expect(head.locator(".st").first).to_have_text("Succeeded")
        expect(signed_in_page).not_to_have_title(re.compile("3/9"))
        expect(head.get_by_text("Pause")).to_have_count(0)
