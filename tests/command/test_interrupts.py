"""Ctrl-C leaves a job; it never cancels one."""

import pytest

from tests.browser.site import Site
from tests.command.typed import Person

pytestmark = pytest.mark.integration

INTERRUPTED = 130


class TestCtrlC:
    def test_watch_leaves_and_says_how_to_come_back(self, person: Person, site: Site) -> None:
        job = site.submit(name="left")

        with person.at_terminal("watch", job) as terminal:
            terminal.read_until(lambda text: "queued" in text)
            terminal.interrupt()
            status = terminal.ended()

        assert status == INTERRUPTED
        assert f"trainyard watch {job}" in terminal.text
        assert "Traceback" not in terminal.text
        with site.client as client:
            assert client.get(f"/v1/jobs/{job}").json()["state"] == "queued"

    @pytest.mark.parametrize("words", [("wait",), ("logs", "-f"), ("watch", "--json")])
    def test_every_verb_that_waits_ends_with_130(
        self, person: Person, site: Site, words: tuple[str, ...]
    ) -> None:
        job = site.submit()

        with person.at_terminal(*words, job) as terminal:
            terminal.wait_for_connection(site.url)
            terminal.interrupt()
            status = terminal.ended()

        assert status == INTERRUPTED
        assert "Traceback" not in terminal.text
