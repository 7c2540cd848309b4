"""Pages as browser tests prepare them, and what they have heard."""

from typing import Final

from playwright.sync_api import BrowserContext, Page, Route

LISTEN: Final = """
globalThis.heard = [];
document.addEventListener("trainyard:event", ({detail}) => heard.push(detail));
"""


def listen(pages: Page | BrowserContext) -> None:
    """Keep what is announced in the pages that are opened from now on."""
    pages.add_init_script(LISTEN)


def wait_to_hear(page: Page, job: str, seq: int) -> None:
    """Wait until the event with this number of a job was announced in a page."""
    page.wait_for_function(
        "([job, seq]) => heard.some(each => each.job === job && each.seq === seq)", arg=[job, seq]
    )


def heard_by(page: Page, job: str) -> list[int]:
    """Return the numbers of the events of a job that were announced in a page, in their order."""
    heard = page.evaluate("job => heard.filter(each => each.job === job)", job)
    return [event["seq"] for event in heard]


def a_late_page(context: BrowserContext) -> tuple[Page, list[Route]]:
    """Open the list in a page whose script that follows loads when its route is continued."""
    page, held = context.new_page(), list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/follow.js", hold)
    page.goto("/jobs", wait_until="commit")
    return page, held
