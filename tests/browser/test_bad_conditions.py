"""The dashboard where something is wrong: a proxy, the user's clock, the numbers of a training."""

import re
from typing import Final

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import Complaints, OpenContext
from tests.browser.proxy import Treatment, a_proxy
from tests.browser.site import Site
from tests.browser.training import a_training

DASH: Final = "\N{EN DASH}"
FALLBACK_MS: Final = 15_000
DAY_MS: Final = 86_400_000
SKEWED: Final = """
(skew) => {
  const Real = Date, now = Real.now.bind(Real);
  globalThis.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(now() + SKEW); }
    static now() { return now() + SKEW; }
  };
}
"""


class TestProxies:
    @pytest.mark.parametrize("treatment", Treatment)
    def test_a_page_polls_where_a_proxy_spoils_the_stream(
        self, site: Site, open_context: OpenContext, complaints: Complaints, treatment: Treatment
    ) -> None:
        training = a_training(site, treatment.name)
        with a_proxy(site.url, treatment) as url:
            complaints.allow(f"request: {re.escape(url)}/|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE")
            page = open_context(base_url=url).new_page()
            page.goto("/jobs")

            lamp = page.locator("#live")
            expect(lamp).to_have_text("Polling every 5 s", timeout=FALLBACK_MS)
            training.epoch(1, 0.5)
            expect(page.locator(f"#{training.job} .c-best")).to_have_text("0.500")
            expect(lamp).to_have_text("Polling every 5 s")
            page.close()


class TestClocks:
    @pytest.mark.parametrize("skew", [DAY_MS, -DAY_MS], ids=["a day ahead", "a day behind"])
    def test_ages_count_by_the_clock_of_the_server(
        self, site: Site, context: BrowserContext, skew: int
    ) -> None:
        context.add_init_script(f"({SKEWED.replace('SKEW', str(skew))})()")
        page = context.new_page()
        job = site.submit(name="just now")

        page.goto("/jobs")

        assert (
            abs(page.evaluate("Date.now()") - page.evaluate("performance.timeOrigin")) > DAY_MS / 2
        )
        expect(page.locator(f"#{job} time[data-ago]").last).to_have_text(
            re.compile(r"^\d+ (s|min) ago$")
        )

    def test_times_are_those_of_the_zone_of_the_user(
        self, site: Site, open_context: OpenContext
    ) -> None:
        page = open_context(timezone_id="Pacific/Kiritimati").new_page()
        page.goto(f"/jobs/{site.submit(name='far away')}/events")

        time = page.locator("time[data-at]").first
        written = time.get_attribute("datetime") or ""

        assert written.endswith(("Z", "+00:00"))
        expect(time).to_have_text(re.compile(hour_in(page, written)))


def hour_in(page: Page, moment: str) -> str:
    """Return hour and minute of a moment 14 hours east of Greenwich."""
    local: str = page.evaluate(
        "(text) => new Date(Date.parse(text) + 14 * 3600e3).toISOString().slice(11, 16)", moment
    )
    return local


class TestCharts:
    def test_one_epoch_is_a_point_with_its_value(self, site: Site, signed_in_page: Page) -> None:
        training = a_training(site, "one epoch")
        training.epoch(1, 0.25)

        signed_in_page.goto(f"/jobs/{training.job}")

        chart = chart_of(signed_in_page, "F1")
        expect(chart).to_have_attribute("aria-valuetext", re.compile("^epoch 1: .*0.250"))
        expect(chart.locator("canvas")).to_be_visible()

    def test_an_epoch_without_numbers_is_a_gap_between_the_others(
        self, site: Site, signed_in_page: Page
    ) -> None:
        training = a_training(site, "a gap")
        for number, value in ((1, 0.25), (2, None), (3, 0.75)):
            training.epoch(number, value)
        signed_in_page.goto(f"/jobs/{training.job}")
        chart = chart_of(signed_in_page, "F1")
        expect(chart).to_have_attribute("aria-valuetext", re.compile("^epoch 3: .*0.750"))

        chart.focus()
        chart.press("ArrowLeft")

        expect(chart).to_have_attribute("aria-valuetext", re.compile(f"^epoch 2: .*{DASH}"))

    def test_epochs_without_any_number_leave_the_chart_empty(
        self, site: Site, signed_in_page: Page
    ) -> None:
        training = a_training(site, "no numbers")
        for number in (1, 2):
            training.epoch(number, None)

        signed_in_page.goto(f"/jobs/{training.job}")

        chart = chart_of(signed_in_page, "F1")
        expect(chart).to_have_attribute("aria-valuetext", re.compile(f"^epoch 2: .*{DASH}"))
        expect(chart.locator("canvas")).to_be_visible()


def chart_of(page: Page, line: str) -> Locator:
    """Return the plot of the chart that has a line of this name."""
    figure = page.locator("figure[data-chart]", has_text=line).first
    return figure.get_by_role("slider")


class TestSignedOut:
    def test_the_back_button_shows_nothing_of_the_former_user(
        self, site: Site, context: BrowserContext, complaints: Complaints
    ) -> None:
        complaints.allow("401")
        page = context.new_page()
        site.submit(name="confidential")
        page.goto("/jobs")
        expect(page.get_by_text("confidential").first).to_be_visible()
        page.locator("header summary").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")

        page.go_back()

        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_text("confidential")).to_have_count(0)


class TestFraming:
    def test_no_page_is_shown_inside_another(
        self, signed_in_page: Page, complaints: Complaints
    ) -> None:
        complaints.allow("frame-ancestors|frame")
        page = signed_in_page
        page.route("**/outer", lambda route: route.fulfill(body=OUTER, content_type="text/html"))

        page.goto("/outer")

        frame = page.frame_locator("iframe")
        expect(page.locator("iframe")).to_be_visible()
        expect(frame.get_by_role("heading", name="Sign in")).to_have_count(0)
        assert all("sign-in" not in each.url for each in page.frames)


OUTER: Final = "<!doctype html><title>outer</title><iframe src='/sign-in'></iframe>"


class TestZoom:
    @pytest.mark.parametrize("path", ["/jobs", "/datasets/new", "/workers", "/account"])
    def test_a_page_fits_at_360_pixels_and_at_200_percent(
        self, site: Site, open_context: OpenContext, path: str
    ) -> None:
        site.submit(name="a job with a long name " * 6)
        for width, height in ((360, 640), (640, 400)):  # the second: 1280 x 800 at 200 %
            scale = 1 if width < height else 2
            context = open_context(
                viewport={"width": width, "height": height}, device_scale_factor=scale
            )
            page = context.new_page()
            page.goto(path)

            needed = page.evaluate("document.documentElement.scrollWidth")

            assert needed <= width, (path, width)
