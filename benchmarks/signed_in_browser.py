"""Chromium without a window, signed in to a running Trainyard as its first administrator."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, StorageState, sync_playwright

from benchmarks.running_server import Failed, RunningServer, running_trainyard

ARGUMENTS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--enable-precise-memory-info",
)
NAME, PASSWORD = "owner", "correct horse battery"
PATIENCE_MS = 60_000


@dataclass(frozen=True)
class SignedInBrowser:
    """A browser, the address of the server, and the cookie of a session there."""

    url: str
    state: StorageState
    _chromium: Any

    @contextmanager
    def profile(self, **options: Any) -> Iterator[BrowserContext]:  # noqa: ANN401
        """Open a profile with an empty cache; `options` are those of Playwright's `new_context`."""
        context = self._chromium.new_context(base_url=self.url, storage_state=self.state, **options)
        context.set_default_timeout(PATIENCE_MS)
        try:
            yield context
        finally:
            context.close()


@contextmanager
def trainyard_with_browser(folder: Path) -> Iterator[tuple[RunningServer, SignedInBrowser]]:
    """Run `trainyard up` in a temporary home, and a browser that has signed in to it."""
    password = folder / "password"
    password.write_text(PASSWORD)
    environment = {"TRAINYARD_ADMIN_PASSWORD_FILE": str(password)}
    with (
        running_trainyard(folder / "home", environment) as server,
        signed_in_browser(server.url) as browser,
    ):
        yield server, browser


@contextmanager
def signed_in_browser(url: str) -> Iterator[SignedInBrowser]:
    """Run Chromium, and sign in to the server at `url`."""
    executable = shutil.which("chromium")
    if executable is None:
        raise Failed("there is no chromium on PATH; Debian's package of that name has it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = chromium.new_page(base_url=url)
        page.goto("/sign-in")
        page.fill("[name=name]", NAME)
        page.fill("[name=password]", PASSWORD)
        page.click("button.primary")
        page.wait_for_url("**/jobs")
        state = page.context.storage_state()
        page.context.close()
        yield SignedInBrowser(url, state, chromium)
        chromium.close()
