"""Checks of the home: who can read it, and whether a server runs on it."""

import json
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.doctor.results import CheckResult, error, fine, warning
from app.listening import NOTE
from app.settings import Settings

ANSWER_SECONDS: Final = 3.0
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
SECRETS: Final = ("api-key", "secret-key", "trainyard.db", "instance-id")


def check_home(settings: Settings) -> Iterator[CheckResult]:
    """Check owner and modes of the home and of the secrets in it."""
    home = settings.home
    if not home.exists():
        yield fine("home", f"{home} does not exist yet; the first start makes it.")
        return
    if home.stat().st_uid != os.geteuid():
        yield error(
            "home",
            f"{home} belongs to another user.",
            "Run as its owner, or choose another home with --home.",
        )
        return
    open_paths = [path for path in (home, *(home / name for name in SECRETS)) if _is_open(path)]
    if open_paths:
        names = ", ".join(str(path) for path in open_paths)
        yield error(
            "home",
            f"Other users of this machine can reach {names}.",
            f"chmod -R go-rwx {home}",
        )
    else:
        yield fine("home", f"Only its owner can read {home}.")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & OTHERS)


def check_server(settings: Settings) -> Iterator[CheckResult]:
    """Check that the server of this home, if one runs, is ready."""
    try:
        note = json.loads((settings.home / NOTE).read_text())
        url = str(note["url"])
    except (OSError, ValueError, KeyError):
        yield fine("server", "None runs on this home.")
        return
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=ANSWER_SECONDS):  # noqa: S310 -- ours
            yield fine("server", f"It is ready at {url}.")
    except urllib.error.HTTPError as answer:
        with answer:
            checks = json.loads(answer.read(4096) or b"{}").get("checks", {})
        failed = ", ".join(name for name, state in checks.items() if state != "ready")
        yield error("server", f"It is not ready: {failed}.", "Its log has the reason.")
    except OSError as failure:
        yield warning(
            "server",
            f"It does not answer at {url} ({type(failure).__name__}).",
            "If it is not running, its last end was not clean; start it again.",
        )
