"""`trainyard login`: a person gets a key, and every later verb uses it."""

import json
import re
import stat

import httpx2

from tests.api.browser.browsers import session_in
from tests.browser.site import Site
from tests.command.typed import Person

CODE = re.compile(r"/login\?code=([A-Z0-9-]+)")


def decide(site: Site, code: str, decision: str) -> int:
    """Confirm or refuse a code on the page, as the first user; return the status of the page."""
    answer = httpx2.post(
        f"{site.url}/login",
        data={"code": code, "decision": decision},
        headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"},
        cookies={"trainyard": session_in(site.database)[1]},
    )
    return answer.status_code


class TestLogin:
    def test_a_confirmed_code_stores_a_key_that_other_verbs_use(
        self, nobody: Person, site: Site
    ) -> None:
        with nobody.at_terminal("login", site.url) as terminal:
            terminal.read_until(lambda text: CODE.search(text) is not None)
            code = CODE.findall(terminal.text)[0]
            status = decide(site, code, "confirm")
            ended = terminal.ended()

        listed = nobody.types("jobs", "--json")
        files = list((nobody.folder / "home").rglob("*.toml"))
        assert (status, ended) == (200, 0), terminal.text
        assert "as owner" in terminal.text
        assert listed.returncode == 0, listed.stderr
        assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600]

    def test_a_refused_code_stores_nothing(self, nobody: Person, site: Site) -> None:
        with nobody.at_terminal("login", site.url) as terminal:
            terminal.read_until(lambda text: CODE.search(text) is not None)
            decide(site, CODE.findall(terminal.text)[0], "refuse")
            ended = terminal.ended()

        assert ended == 4
        assert "refused" in terminal.text
        assert "Traceback" not in terminal.text
        assert list((nobody.folder / "home").rglob("*.toml")) == []

    def test_a_key_can_come_from_stdin(self, nobody: Person, site: Site) -> None:
        key = (site.home / "api-key").read_text()

        finished = nobody.types("login", site.url, "--key-stdin", "--json", stdin=key)

        assert finished.returncode == 0, finished.stderr
        assert json.loads(finished.stdout)["user"] == "owner"
        assert key.strip() not in finished.stdout + finished.stderr

    def test_a_wrong_key_from_stdin_is_refused_and_not_stored(
        self, nobody: Person, site: Site
    ) -> None:
        finished = nobody.types("login", site.url, "--key-stdin", stdin="ty_wrong\n")

        assert finished.returncode == 4
        assert "Traceback" not in finished.stderr
        assert list((nobody.folder / "home").rglob("*.toml")) == []
