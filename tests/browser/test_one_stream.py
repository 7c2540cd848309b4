"""All tabs of a browser share one stream, also in browsers that lack what that usually needs.

The server of these tests allows one stream for each session: a second one would be refused, and
its tab would poll.
"""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Complaints, OpenContext
from tests.browser.pages import a_late_page, heard_by, listen, wait_to_hear
from tests.browser.site import Site
from tests.browser.training import a_training

LIVE, POLLING = "Live", "Polling every 5 s"
NO_WORKER = "delete globalThis.SharedWorker;"
NOTHING = NO_WORKER + "delete globalThis.BroadcastChannel;"


@pytest.fixture(scope="module")
def site_environment() -> dict[str, str]:
    return {"TRAINYARD_STREAMS__PER_CREDENTIAL": "1"}


def tabs_of(context: BrowserContext, count: int) -> list[Page]:
    """Open the list of jobs in `count` tabs."""
    listen(context)
    tabs = [context.new_page() for _ in range(count)]
    for tab in tabs:
        tab.goto("/jobs")
    return tabs


def expect_lamps(tabs: list[Page], word: str) -> None:
    for tab in tabs:
        expect(tab.locator("#live")).to_have_text(word)


class TestOneStream:
    def test_eight_tabs_are_live_by_one_stream(self, site: Site, context: BrowserContext) -> None:
        training = a_training(site, "watched")

        tabs = tabs_of(context, 8)
        expect_lamps(tabs, LIVE)
        training.epoch(1, 0.125)

        for tab in tabs:
            expect(tab.locator(f"#{training.job} .c-best")).to_have_text("0.125")

    def test_a_browser_that_is_refused_a_stream_polls_and_says_so(
        self, site: Site, open_context: OpenContext, complaints: Complaints
    ) -> None:
        complaints.allow("429")
        training = a_training(site, "polled")
        first, second = open_context(is_signed_in=False), open_context(is_signed_in=False)
        site.sign_in(first, second)
        expect_lamps(tabs_of(first, 1), LIVE)

        [tab] = tabs_of(second, 1)
        expect_lamps([tab], POLLING)
        training.epoch(1, 0.375)
        training.progress(2)

        expect(tab.locator(f"#{training.job} .c-best")).to_have_text("0.375")
        expect(tab.locator(f"#{training.job} .ep")).to_have_text("2/9")


class TestWithoutSharedWorker:
    def test_one_tab_has_the_stream_and_another_takes_over_without_a_gap(
        self, site: Site, context: BrowserContext
    ) -> None:
        context.add_init_script(NO_WORKER)
        training = a_training(site, "led")
        leader, second, third = tabs_of(context, 3)
        expect_lamps([leader, second, third], LIVE)
        training.epoch(1, 0.1)
        expect(third.locator(f"#{training.job} .c-best")).to_have_text("0.100")

        leader.close()
        training.epoch(2, 0.2)
        for tab in (second, third):
            expect(tab.locator(f"#{training.job} .c-best")).to_have_text("0.200")
        training.epoch(3, 0.3)
        for tab in (second, third):
            expect(tab.locator(f"#{training.job} .c-best")).to_have_text("0.300")

        expect_lamps([second, third], LIVE)
        for tab in (second, third):
            wait_to_hear(tab, training.job, 6)
            assert heard_by(tab, training.job) == [4, 5, 6]

    def test_a_tab_that_comes_later_gets_what_the_others_got(
        self, site: Site, context: BrowserContext
    ) -> None:
        context.add_init_script(NO_WORKER)
        training = a_training(site, "joined")
        [first] = tabs_of(context, 1)
        expect_lamps([first], LIVE)
        late, held = a_late_page(context)
        expect(late.locator(f"#{training.job} .ep")).to_have_text("1/9")

        training.epoch(1, 0.625)
        expect(first.locator(f"#{training.job} .c-best")).to_have_text("0.625")
        held[0].continue_()

        expect(late.locator(f"#{training.job} .c-best")).to_have_text("0.625")
        expect_lamps([late], LIVE)

    def test_a_sign_out_is_told_to_all_and_ends_with_the_next_sign_in(
        self, site: Site, context: BrowserContext, complaints: Complaints
    ) -> None:
        complaints.allow("401")
        context.add_init_script(NO_WORKER)
        leader, second = tabs_of(context, 2)
        expect_lamps([leader, second], LIVE)
        third = context.new_page()
        third.goto("/jobs")

        third.locator("summary", has_text="owner").click()
        third.locator("button", has_text="Sign out").click()
        expect_lamps([leader, second], "Signed out")
        site.sign_in(context)
        third.goto("/jobs")

        expect_lamps([leader, second, third], LIVE)


class TestWithoutAnything:
    def test_each_tab_polls_and_says_so(self, site: Site, context: BrowserContext) -> None:
        context.add_init_script(NOTHING)
        training = a_training(site, "asked-for")
        tabs = tabs_of(context, 2)
        expect_lamps(tabs, POLLING)

        training.epoch(1, 0.875)
        training.progress(2, eta_seconds=61)

        for tab in tabs:
            row = tab.locator(f"#{training.job}")
            expect(row.locator(".c-best")).to_have_text("0.875")
            expect(row.locator(".ep")).to_have_text("2/9")
            expect(row.locator(".eta")).to_have_text("1 min 1 s left")
