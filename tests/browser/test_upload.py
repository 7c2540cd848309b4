"""Datasets in a browser: an upload that is cut and continued, a remedy, and samples."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import Complaints
from tests.browser.site import Site
from tests.datasets.builders import a_zip, label_files

MIB = 1024 * 1024
FIRST_PART = MIB
VERIFIED_MS = 60_000
OF_A_VERSION = re.compile(r"/datasets/dsv_")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three parts: a file that training does not read makes it as large."""
    files = label_files("detect", train=6, val=3)
    path = tmp_path_factory.mktemp("archive") / "three parts.zip"
    return a_zip(path, files | {"notes.bin": bytes(range(256)) * (10 * MIB // 1024)}, method=0)


class Cut:
    """Lets the first part of an upload pass, and breaks the connection of each that follows."""

    def __init__(self) -> None:
        self.passed = 0

    def __call__(self, route: Route) -> None:
        if route.request.method != "PATCH":
            route.fallback()
        elif self.passed:
            route.abort()
        else:
            self.passed += 1
            route.fallback()


def choose(page: Page, archive: Path, name: str) -> None:
    page.goto("/datasets/new")
    page.locator("#u-file").set_input_files(archive)
    page.locator("#u-name").fill(name)


def unfinished(site: Site) -> list[dict[str, object]]:
    with site.client as client:
        listed: list[dict[str, object]] = client.get("/v1/uploads").json()["data"]
    return listed


class TestUpload:
    def test_an_upload_that_was_cut_continues_after_a_reload(
        self, site: Site, context: BrowserContext, complaints: Complaints, archive: Path
    ) -> None:
        complaints.allow("ERR_FAILED")
        page = context.new_page()
        cut = Cut()
        context.route("**/v1/uploads/*", cut)
        choose(page, archive, "continued")
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.locator("#going-state")).to_contain_text("The server does not answer.")

        page.reload()

        assert [each["offset_bytes"] for each in unfinished(site)] == [FIRST_PART]
        expect(page.locator("#u-file-h")).to_contain_text("Choose three parts.zip again")
        expect(page.locator("#u-name")).to_have_value("continued")
        context.unroute("**/v1/uploads/*", cut)
        with page.expect_request(lambda sent: sent.method == "PATCH") as first:
            page.locator("#u-file").set_input_files(archive)
        assert first.value.headers["upload-offset"] == str(FIRST_PART)
        page.wait_for_url(OF_A_VERSION)
        expect(page.locator(".facts")).to_contain_text("Ready", timeout=VERIFIED_MS)
        assert unfinished(site) == []

    def test_a_paused_upload_is_discarded(
        self, site: Site, context: BrowserContext, complaints: Complaints, archive: Path
    ) -> None:
        complaints.allow("ERR_FAILED")
        page = context.new_page()
        context.route("**/v1/uploads/*", Cut())
        choose(page, archive, "discarded")
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.locator("#going-numbers")).to_contain_text("1.0 MB of")

        page.locator("#pause").click()
        expect(page.locator("#going-state")).to_have_text("Paused")
        page.locator("#discard").click()

        expect(page.locator("#going")).to_be_hidden()
        expect(page.get_by_role("button", name="Upload", exact=True)).to_be_enabled()
        assert unfinished(site) == []

    def test_a_refusal_is_shown_and_the_form_stays(
        self, signed_in_page: Page, complaints: Complaints, archive: Path
    ) -> None:
        complaints.allow("507")
        signed_in_page.route(
            "**/v1/uploads",
            lambda route: route.fulfill(
                status=507,
                content_type="application/problem+json",
                body='{"detail": "The disk has no room.", "type": "urn:x:insufficient-storage"}',
            ),
        )
        choose(signed_in_page, archive, "refused")
        signed_in_page.get_by_role("button", name="Upload", exact=True).click()

        expect(signed_in_page.locator("#going-problem")).to_have_text("The disk has no room.")
        expect(signed_in_page.locator("#u-name")).to_have_value("refused")

    def test_a_file_can_be_dropped_and_gives_the_name(self, signed_in_page: Page) -> None:
        signed_in_page.goto("/datasets/new")

        signed_in_page.evaluate(DROP, "Blood cells (2).tar.gz")

        expect(signed_in_page.locator("#u-name")).to_have_value("Blood cells (2)")
        expect(signed_in_page.locator("#u-name-h")).to_have_text("This makes a new dataset.")

    def test_another_file_does_not_continue_an_upload(
        self, site: Site, signed_in_page: Page, archive: Path, tmp_path: Path
    ) -> None:
        path = begun(site, archive)
        other = tmp_path / archive.name
        other.write_bytes(b"other")
        signed_in_page.goto("/datasets/new")

        with signed_in_page.expect_file_chooser() as chooser:
            signed_in_page.get_by_role("button", name=f"Go on with {archive.name}").click()
        chooser.value.set_files(other)

        expect(signed_in_page.locator("#u-file-h")).to_contain_text("This is another file")
        with site.client as client:
            client.delete(path, headers={"Tus-Resumable": "1.0.0"})


DROP = """name => {
  const data = new DataTransfer();
  data.items.add(new File(["x"], name));
  window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
}"""


def begun(site: Site, archive: Path) -> str:
    """Create an upload of that file by the API; return its path."""
    name = "dGhyZWUgcGFydHMuemlw"  # of the archive, in Base64
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(archive.stat().st_size),
        "Upload-Metadata": f"filename {name}",
    }
    with site.client as client:
        answer = client.post("/v1/uploads", headers=headers)
    path: str = answer.headers["Location"]
    return path


class TestRemedy:
    def test_the_button_of_a_finding_makes_a_ready_version(
        self, site: Site, signed_in_page: Page, tmp_path: Path
    ) -> None:
        content = a_zip(tmp_path / "obb.zip", label_files("obb", train=4, val=2)).read_bytes()
        with site.client as client:
            sent = client.post("/v1/datasets", params={"name": "corners"}, content=content)
        signed_in_page.goto(f"/datasets/{sent.json()['id']}")

        note = signed_in_page.get_by_role("region", name="Invalid")
        expect(note).to_contain_text("1 error", timeout=VERIFIED_MS)
        note.get_by_role("combobox").select_option(label="task = obb")
        note.get_by_role("button", name="Read it again").click()

        signed_in_page.wait_for_url(OF_A_VERSION)
        expect(signed_in_page.locator(".facts")).to_contain_text("Ready", timeout=VERIFIED_MS)
        expect(signed_in_page.locator(".drawn path").first).to_be_visible()


class TestSamples:
    def test_labels_are_shown_by_class_and_samples_by_arrow_keys(
        self, site: Site, signed_in_page: Page, tmp_path: Path
    ) -> None:
        content = a_zip(tmp_path / "boxes.zip", label_files("detect", train=6, val=3)).read_bytes()
        with site.client as client:
            sent = client.post("/v1/datasets", params={"name": "shown"}, content=content)
        signed_in_page.goto(f"/datasets/{sent.json()['id']}")
        expect(signed_in_page.locator(".facts")).to_contain_text("Ready", timeout=VERIFIED_MS)
        signed_in_page.get_by_role("link", name="Samples", exact=True).click()
        discs = signed_in_page.locator('.drawn path[data-group="0"]')
        squares = signed_in_page.locator('.drawn path[data-group="1"]')

        signed_in_page.locator(".toggles label", has_text="disc").click()

        expect(discs.first).to_be_hidden()
        expect(squares.first).to_be_visible()
        samples = signed_in_page.locator("[data-sample]")
        samples.first.click()
        title = signed_in_page.locator("#sample h2")
        expect(title).to_have_text(samples.first.get_attribute("data-sample") or "")
        signed_in_page.keyboard.press("ArrowRight")
        expect(title).to_have_text(samples.nth(1).get_attribute("data-sample") or "")
        signed_in_page.keyboard.press("Escape")
        expect(samples.nth(1)).to_be_focused()


class TestList:
    def test_a_row_shows_the_next_version_without_a_reload(
        self, site: Site, signed_in_page: Page, tmp_path: Path
    ) -> None:
        archive = a_zip(tmp_path / "watched.zip", label_files("detect", train=4, val=2))
        with site.client as client:
            sent = client.post(
                "/v1/datasets", params={"name": "watched"}, content=archive.read_bytes()
            )
            dataset = sent.json()["id"]
            signed_in_page.goto("/datasets")
            expect(signed_in_page.locator("#live")).to_have_text("Live")
            made = client.post(f"/v1/datasets/{dataset}/versions", json={"splits": "50:50"})
        assert made.status_code == 202, made.text

        row = signed_in_page.locator(f"#{dataset}")
        expect(row.locator(".c-versions")).to_have_text("2", timeout=VERIFIED_MS)
        expect(row.locator(".c-state")).to_contain_text("Ready", timeout=VERIFIED_MS)
