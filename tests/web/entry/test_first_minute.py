"""The first minute: the link of `trainyard up`, the demo dataset, and a first job in two clicks."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.accounts.browser.sign_in_links import new_sign_in_link
from app.first_page import first_page_url, forget_first_page, open_browser
from app.web.entry.demo_routes import SPEC
from app.web.entry.shapes import CLASSES, write_shapes
from tests.api.browser.browsers import OWN, Browser, a_browser, signed_in, with_password
from tests.web.jobs.pages import Document, opened, submitted
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

PAGE = {"Accept": "text/html"}


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    yield from serving(on(database_url, tmp_path / "home"))


def a_local_browser(api: Api) -> TestClient:
    return TestClient(
        api.app,
        base_url="http://127.0.0.1",
        client=("127.0.0.1", 50000),
        headers={**OWN, **PAGE},
        follow_redirects=False,
    )


class TestLink:
    def test_looking_shows_a_button_and_pressing_it_signs_in(self, api: Api) -> None:
        client = a_local_browser(api)
        path = f"/sign-in/link/{new_sign_in_link(api.database)}"

        looked = client.get(path)
        pressed = client.post(path)

        assert "Sign in" in Document(looked.text).one("button").text
        assert (pressed.status_code, pressed.headers["location"]) == (303, "/jobs")
        assert client.get("/jobs").status_code == 200

    def test_a_used_link_says_so_and_leads_to_the_sign_in_page(self, api: Api) -> None:
        path = f"/sign-in/link/{new_sign_in_link(api.database)}"
        a_local_browser(api).post(path)

        again = a_local_browser(api).get(path)

        assert again.status_code == 410
        assert "/sign-in" in Document(again.text).links

    def test_up_offers_the_link_until_an_administrator_has_a_password(self, api: Api) -> None:
        settings = api.context.settings
        first = first_page_url(settings, "http://127.0.0.1:8080")

        with_password(api)

        assert first[0].startswith("http://127.0.0.1:8080/sign-in/link/")
        assert first_page_url(settings, "http://127.0.0.1:8080") == (
            "http://127.0.0.1:8080/",
            False,
        )

    def test_a_desktop_browser_gets_the_link_by_a_file_that_only_its_user_can_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened_urls: list[str] = []
        monkeypatch.setattr("webbrowser.open", opened_urls.append)

        open_browser(tmp_path, "http://127.0.0.1:8080/sign-in/link/secret")

        (file,) = (tmp_path / "run").iterdir()
        assert opened_urls == [file.as_uri()]
        assert file.stat().st_mode & 0o777 == 0o600
        assert "sign-in/link/secret" in file.read_text()
        forget_first_page(tmp_path)
        assert not file.exists()


class TestSignIn:
    def test_a_stranger_is_sent_to_the_sign_in_page_and_back(self, api: Api) -> None:
        with_password(api)
        client = a_local_browser(api)
        sent = client.get("/jobs?state=running")

        signed = client.post(
            "/sign-in",
            data={"name": "owner", "password": "correct horse 5", "next": "/jobs?state=running"},
        )

        assert sent.headers["location"] == "/sign-in?next=%2Fjobs%3Fstate%3Drunning"
        assert (signed.status_code, signed.headers["location"]) == (303, "/jobs?state=running")
        assert client.get("/jobs").status_code == 200

    @pytest.mark.parametrize("to", ["//evil.test/", "https://evil.test/", "/\\evil.test", "x"])
    def test_the_way_back_never_leads_elsewhere(self, api: Api, to: str) -> None:
        with_password(api)

        signed = a_local_browser(api).post(
            "/sign-in", data={"name": "owner", "password": "correct horse 5", "next": to}
        )

        assert signed.headers["location"] == "/jobs"

    def test_a_wrong_password_is_told_and_the_name_stays(self, api: Api) -> None:
        with_password(api)

        answer = a_local_browser(api).post("/sign-in", data={"name": "owner", "password": "no"})

        page = Document(answer.text)
        assert answer.status_code == 401
        assert page.one("input", id="l-n").attributes["value"] == "owner"
        assert page.all("div", role="alert") != []

    def test_signing_out_ends_the_session(self, api: Api) -> None:
        browser = signed_in(api)

        sent = submitted(browser, "/sign-out")

        assert (sent.status, sent.location) == (303, "/sign-in")
        assert browser.client.get("/v1/me").status_code == 401


class TestErrors:
    def test_an_unknown_page_is_told_with_its_request(self, api: Api) -> None:
        page = opened(signed_in(api), "/nothing-here", status=404)

        assert "req_" in page.text
        assert "/jobs" in page.links

    def test_a_program_gets_the_problem_as_json(self, api: Api) -> None:
        answer = a_browser(api).client.get("/nothing-here", headers={"Accept": "application/json"})

        assert answer.json()["type"] == "urn:trainyard:problem:not-found"


class TestTwoClicks:
    @pytest.fixture
    def empty(self, api: Api) -> Browser:
        """A browser of a user who has no dataset yet."""
        browser = signed_in(api)
        deleted = browser.client.delete(f"/v1/datasets/{api.rows.dataset_id}")
        assert deleted.status_code == 204, deleted.text
        return browser

    def test_a_home_without_a_dataset_offers_the_demo(self, empty: Browser) -> None:
        page = opened(empty, "/jobs")

        assert "/demo/dataset" in page.actions

    def test_the_first_click_uploads_the_demo_dataset(self, empty: Browser) -> None:
        sent = submitted(empty, "/demo/dataset")

        assert (sent.status, sent.location) == (303, "/jobs")
        names = [each["name"] for each in empty.client.get("/v1/datasets").json()["data"]]
        assert "shapes" in names

    def test_the_second_click_starts_a_job_on_it(self, api: Api) -> None:
        browser = signed_in(api)

        sent = submitted(browser, "/demo/job", dataset=api.rows.dataset_id)

        job = browser.client.get(sent.location.replace("/jobs/", "/v1/jobs/")).json()
        assert (job["state"], job["model"]) == ("queued", SPEC["model"])

    def test_the_dataset_has_every_shape_and_a_label_for_each_image(self) -> None:
        archive = io.BytesIO()

        write_shapes(archive, train=6, val=3, size=64)

        with zipfile.ZipFile(archive) as opened_zip:
            names = opened_zip.namelist()
            text = opened_zip.read("data.yaml").decode()
        assert sum(name.endswith(".png") for name in names) == 9
        assert sum(name.endswith(".txt") for name in names) == 9
        assert all(name in text for name in CLASSES)
