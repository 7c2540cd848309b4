"""The first page that `trainyard up` offers: its address, and how a browser on the desktop gets it.

The address signs in, so it must not be on a command line, where every user of the machine could
read it. The browser gets a file instead that only the user can read, and that leads to the address.
"""

import os
import sys
import webbrowser
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Final

from app.core.secrets import write_private
from app.settings import Settings

FILE: Final = Path("run") / "open.html"
PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Trainyard</title>
<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">Open Trainyard</a></p></html>
"""


def first_page_url(settings: Settings, url: str) -> tuple[str, bool]:
    """Return the address of the first page, and whether it is a link that signs in.

    Args:
        settings: of the server.
        url: of the server on this machine.
    """
    from app.accounts.browser.sign_in_links import new_sign_in_link  # noqa: PLC0415
    from app.core.database import Database  # noqa: PLC0415

    database = Database(settings.effective_database_url, pool_size=1)
    try:
        token = new_sign_in_link(database)
    finally:
        database.dispose()
    base = f"{url}{settings.path_prefix}"
    return (f"{base}/", False) if token is None else (f"{base}/sign-in/link/{token}", True)


def open_browser(home: Path, url: str) -> None:
    """Open an address in the browser of the desktop, by a file that only the user can read."""
    path = home / FILE
    write_private(path, PAGE.format(url=escape(url)))
    webbrowser.open(path.absolute().as_uri())


def forget_first_page(home: Path) -> None:
    """Remove the file."""
    with suppress(FileNotFoundError):
        (home / FILE).unlink()


def has_desktop() -> bool:
    """Return whether a person looks at this terminal, and a browser with windows can open."""
    shows_windows = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return sys.stdout.isatty() and shows_windows
