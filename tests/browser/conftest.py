"""Real Chromium, a real server, and pages whose every complaint fails the test.

Without Chromium the tests skip, except where `CI=true`: there they fail.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.site import Site, a_site

FOLDER: Final = Path(__file__).parent
ARGUMENTS: Final = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WIDE: Final = {"width": 1440, "height": 900}
PATIENCE_MS: Final = 20_000
TELL_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", (violation) =>
  console.error(`policy: ${violation.violatedDirective} ${violation.blockedURI}`));
"""

expect.set_options(timeout=PATIENCE_MS)
OpenContext = Callable[..., BrowserContext]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The Chromium on PATH, without a window.

    It lives for one module: while Playwright runs, an event loop runs in this thread, and the
    tests of other modules in the same process could not run one.
    """
    executable = shutil.which("chromium")
    if executable is None:
        missing = "there is no chromium on PATH; Debian's package of that name has it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site_environment() -> dict[str, str]:
    """More variables for the server of a module, which may override this fixture."""
    return {}


@pytest.fixture(scope="module")
def site(
    chromium: Browser,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    site_environment: dict[str, str],
) -> Iterator[Site]:
    """A server process for the tests of a module. `chromium` is first: it may skip them."""
    assert chromium.is_connected()
    folder = tmp_path_factory.mktemp("site")
    with a_site(folder, sqlite_template, **site_environment) as running:
        yield running


class Complaints:
    """What pages complained about: errors, warnings, violations of the policy, foreign requests."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._allowed: list[re.Pattern[str]] = []
        self._said: list[str] = []

    def allow(self, pattern: str) -> None:
        """Expect complaints that contain this pattern."""
        self._allowed.append(re.compile(pattern))

    def listen_to(self, context: BrowserContext) -> None:
        context.add_init_script(TELL_VIOLATIONS)
        context.on("console", lambda message: self._hear(message.type, message.text))
        context.on("weberror", lambda problem: self._said.append(f"script: {problem.error}"))
        context.on("request", lambda request: self._see(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self._said.append(f"{kind}: {text}")

    def _see(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme not in {"about", "blob"} and address.netloc != self._host:
            self._said.append(f"request: {url}")

    @property
    def unexpected(self) -> list[str]:
        return [
            each for each in self._said if not any(known.search(each) for known in self._allowed)
        ]


@pytest.fixture
def complaints(site: Site) -> Complaints:
    """What the pages of this test complain about; `allow` what it provokes."""
    return Complaints(site.url)


@pytest.fixture
def open_context(chromium: Browser, site: Site, complaints: Complaints) -> Iterator[OpenContext]:
    """A function that opens a new browser profile, signed in as the first user.

    Its arguments are those of Playwright's `new_context`, and `is_signed_in`. A complaint of any
    page fails the test at its end.
    """
    opened: list[BrowserContext] = []

    def open_one(*, is_signed_in: bool = True, **options: Any) -> BrowserContext:  # noqa: ANN401
        context = chromium.new_context(**{"base_url": site.url, "viewport": WIDE, **options})
        opened.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if is_signed_in:
            site.sign_in(context)
        complaints.listen_to(context)
        return context

    yield open_one
    for context in opened:
        context.close()
    assert complaints.unexpected == []


@pytest.fixture
def context(open_context: OpenContext) -> BrowserContext:
    """A browser profile, signed in as the first user; its pages share cookies and workers."""
    return open_context()


@pytest.fixture
def signed_in_page(context: BrowserContext) -> Page:
    """An empty page of a signed-in user: `signed_in_page.goto("/jobs")`."""
    return context.new_page()
