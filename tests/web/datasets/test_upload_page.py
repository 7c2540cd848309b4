"""The upload page: its form, uploads that wait, and what becomes of one that has arrived."""

import pytest

from tests.api.browser.browsers import Browser
from tests.api.datasets.uploading import shapes_zip
from tests.api.uploads.tus import create, patch
from tests.web.datasets.worlds import HOSTILE, Datasets
from tests.web.jobs.pages import opened, submitted


@pytest.fixture
def arrived(datasets: Datasets) -> str:
    """The id of an upload of which all bytes have arrived."""
    body = shapes_zip(77)
    path = create(datasets.api, len(body), filename="shapes.zip")
    patch(datasets.api, path, 0, body)
    return path.removeprefix("/v1/uploads/")


class TestForm:
    def test_limits_and_the_command_for_a_terminal_are_shown(self, browser: Browser) -> None:
        page = opened(browser, "/datasets/new")

        assert "at most 68.7 GB" in page.text
        command = page.one("pre", id="curl").text
        assert "curl -fsS -X POST -T data.zip" in command
        assert "'http://127.0.0.1/v1/datasets?name=NAME&project=default'" in command
        assert "needs JavaScript" in page.one("noscript").text

    def test_a_name_that_exists_makes_its_next_version(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        datasets.a_row("known")

        page = opened(browser, "/datasets/new?name=known&project=default")

        assert "This becomes version 2 of known." in page.text
        assert page.one("input", id="u-name").attributes["value"] == "known"

    def test_hostile_names_are_text(self, browser: Browser) -> None:
        page = opened(browser, "/datasets/new?name=%3Cscript%3Ealert(1)%3C/script%3E'%22")

        assert not [each for each in page.all("script") if "alert" in each.text]


class TestWaiting:
    def test_an_unfinished_upload_can_be_discarded(
        self, browser: Browser, datasets: Datasets
    ) -> None:
        path = create(datasets.api, 5_000_000, filename="half.zip")
        patch(datasets.api, path, 0, b"x" * 1_000_000)

        page = opened(browser, "/datasets/new")
        upload = path.removeprefix("/v1/uploads/")
        action = f"/datasets/uploads/{upload}/discard"
        sent = submitted(browser, action)

        row = page.one("tr", data_upload=upload)
        assert "1.0 MB of 5.0 MB" in " ".join(row.text.split())
        assert action in page.actions
        assert (sent.status, sent.location) == (303, "/datasets/new")
        assert browser.client.get(path).status_code == 404

    def test_hostile_file_names_are_text(self, browser: Browser, datasets: Datasets) -> None:
        create(datasets.api, 10, filename=HOSTILE)

        page = opened(browser, "/datasets/new")

        assert HOSTILE in page.text
        assert not [each for each in page.all("script") if "alert" in each.text]

    def test_one_that_has_arrived_leads_to_its_form(self, browser: Browser, arrived: str) -> None:
        path = f"/datasets/new?upload={arrived}&project=default"

        assert path in opened(browser, "/datasets/new").links
        page = opened(browser, path)

        assert page.one("input", name_="upload").attributes["value"] == arrived
        assert "shapes.zip, 50.0 kB, has arrived." in page.text
        assert page.all("input", type="file") == []


class TestArrived:
    def test_an_upload_becomes_a_dataset_and_is_removed(
        self, browser: Browser, datasets: Datasets, arrived: str
    ) -> None:
        sent = submitted(
            browser, "/datasets/new", upload=arrived, name="arrived", task="", policy="lenient"
        )

        assert sent.status == 303, sent.source
        made = datasets.verified(sent.location.removeprefix("/datasets/"))
        assert (made["name"], made["state"]) == ("arrived", "ready")
        assert browser.client.get(f"/v1/uploads/{arrived}").status_code == 404

    def test_a_refused_name_stands_at_its_field_and_the_file_stays(
        self, browser: Browser, arrived: str
    ) -> None:
        sent = submitted(browser, "/datasets/new", upload=arrived, name="/", policy="strict")

        assert sent.status == 422
        page = sent.page
        name = page.one("input", id="u-name")
        assert (name.attributes["value"], name.attributes["aria-invalid"]) == ("/", "true")
        assert "The file has arrived and need not be sent again." in page.text
        assert browser.client.get(f"/v1/uploads/{arrived}").status_code == 200

    def test_an_upload_that_is_not_there_is_refused(self, browser: Browser) -> None:
        sent = submitted(browser, "/datasets/new", upload="upl_none", name="nothing")

        assert sent.status == 422
        assert "upload" in sent.page.text
