"""What happens elsewhere changes an open page by itself."""

from playwright.sync_api import Page, expect

from tests.browser.site import Site


class TestLamp:
    def test_a_page_is_live_soon(self, site: Site, signed_in_page: Page) -> None:
        site.a_job(name="first")
        signed_in_page.goto("/jobs")

        expect(signed_in_page.locator("#live")).to_have_text("Live")
