"""The files and the spec of a job."""

import json
from pathlib import Path

import pytest

from app.artifacts.names import ArtifactKind
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import Document, opened
from tests.web.jobs.trained_jobs import CUSTOMIZED, Training, a_training
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


def names(page: Document) -> list[str]:
    """Return the names of the files and groups, in order."""
    heads = [each for each in page.all("th") if "tbody" in each.inside]
    return [each.text for each in heads]


class TestFiles:
    def test_weights_come_first_and_each_file_says_what_it_is_for(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/files")

        assert names(page)[:3] == ["Weights", "best.pt", "last.pt"]
        assert "Weights of the best epoch by F1" in page.text
        assert "Log of attempt 1" in page.text
        assert "Validation batch 0, predictions" in page.text

    def test_checks_digest_and_command_are_beside_a_file(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/files")

        assert "loads, runs, safe" in page.text
        assert "stock Ultralytics 8.4.190" in page.text
        copied = [
            each.attributes["data-copy"]
            for each in page.all("button")
            if "data-copy" in each.attributes
        ]
        path = f"/v1{succeeded.path}/artifacts"
        command = 'curl -fsS -H "Authorization: Bearer $KEY"'
        assert f"{command} -O http://127.0.0.1{path}/best.pt" in copied
        assert f"{command} -OJ http://127.0.0.1{path}.zip" in copied
        assert any(len(text) == 64 for text in copied)

    def test_a_running_job_offers_its_current_weights(
        self, browser: Browser, api: Api, folder: Path
    ) -> None:
        training = a_training(api, folder)
        for epoch in (1, 2):
            training.file("best.pt", ArtifactKind.CHECKPOINT, b"best", epoch=epoch)

        page = opened(browser, f"{training.path}/files")

        assert names(page)[:2] == ["Current, of the training that goes on", "best.pt"]
        assert f"/v1{training.path}/checkpoints/2/best.pt" in page.links

    def test_kept_weights_say_by_which_rule(self, browser: Browser, api: Api, folder: Path) -> None:
        rule = {
            "name": "recall",
            "metric": "metrics/recall(B)",
            "where": {"metrics/precision(B)": {"min": 0.3}},
        }
        training = a_training(api, folder, customize={"keep_best": [rule]})
        training.file("best_recall.pt", ArtifactKind.WEIGHTS)

        page = opened(browser, f"{training.path}/files")

        assert "the best recall where precision is at least 0.3" in page.text


class TestSpec:
    def test_the_spec_is_shown_as_it_was_sent(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, f"{succeeded.path}/spec")

        sent = json.loads(page.one("pre", id="c-json").text)
        assert sent["train"] == CUSTOMIZED["train"]
        assert sent["customize"] == CUSTOMIZED["customize"]

    def test_arguments_that_the_spec_sets_are_marked(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/spec")

        marked = [each.text for each in page.all("td", class_="diff")]
        assert len(marked) == len(CUSTOMIZED["train"])
        assert '"AdamW" set by the spec' in marked
        assert f"{len(marked)} of them set by the spec" in page.text

    def test_the_requests_carry_the_spec_whatever_it_contains(
        self, browser: Browser, api: Api, folder: Path
    ) -> None:
        hostile = "it's '''EOF''' \\ $HOME \u0634"
        training = a_training(api, folder, name=hostile)

        page = opened(browser, f"{training.path}/spec")

        curl, python = (page.one("pre", id=f"c{number}").text for number in (1, 2))
        body = curl.split("<<'EOF'\n")[1].removesuffix("\nEOF")
        assert json.loads(body)["name"] == hostile
        variables: dict[str, object] = {}
        exec(python.partition("headers = ")[0], variables)  # noqa: S102 -- what the page shows
        assert variables["spec"] == json.loads(body)
