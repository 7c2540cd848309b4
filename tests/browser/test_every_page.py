"""Every page in Chromium: no fault for people who use it by keyboard, by ear, or on a phone.

The names of everything are hostile text, and a listener fails the test for a script that ran, a
violation of the policy, an error on the console, or a request to another host.
"""

from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # no stubs
from playwright.sync_api import BrowserContext, Page, Response
from starlette.testclient import TestClient

from app.main import create_app
from tests.browser.conftest import OpenContext
from tests.browser.site import Site
from tests.datasets.builders import a_detect_zip
from tests.jobs.slots import a_slot
from tests.waiting import eventually
from tests.web.jobs.trained_jobs import a_failed_job, a_succeeded_job
from tests.worlds.server import Api, on

HOSTILE: Final = "<img src=x onerror=alert(1)> ${7*7} 'quoted' \"twice\""
WIDTHS: Final = (390, 768, 1440)
HEIGHT: Final = 900
MOST_BYTES: Final = 150_000


@pytest.fixture(scope="module")
def paths(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of each page, by a name for it, on a server with ended jobs and a slot."""
    app = create_app(on(str(site.database.engine.url), site.home))
    key = (site.home / "api-key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    folder = tmp_path_factory.mktemp("jobs")
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        api = Api(app, client, site.rows, key)
        ended = a_succeeded_job(api, folder, name=HOSTILE, tags={"goal": HOSTILE})
        failed = a_failed_job(api, folder, name=f"{HOSTILE} failed")
        dataset = a_checked_dataset(client, folder)
    a_slot(site.database, "gpu-a")
    both = f"{ended.hold.job_id},{failed.hold.job_id}"
    return {
        "jobs": "/jobs",
        "trash": "/jobs?trashed=true",
        "overview": ended.path,
        "plan": f"{ended.path}/plan",
        "images": f"{ended.path}/images",
        "log": f"{ended.path}/log",
        "events": f"{ended.path}/events",
        "files": f"{ended.path}/files",
        "spec": f"{ended.path}/spec",
        "failed": failed.path,
        "compare": f"/jobs/compare?jobs={both}",
        "new job": f"/jobs/new?clone={ended.hold.job_id}",
        "datasets": "/datasets",
        "dataset": dataset,
        "samples": f"{dataset}/samples",
        "findings": f"{dataset}/findings",
        "statistics": f"{dataset}/statistics",
        "versions": f"{dataset}/versions",
        "upload": "/datasets/new",
        "workers": "/workers",
        "models": "/models",
        "keys": "/access/keys",
        "users": "/access/users",
        "projects": "/access/projects",
        "webhooks": "/access/webhooks",
        "audit log": "/access/audit",
        "account": "/account",
    }


def a_checked_dataset(client: TestClient, folder: Path) -> str:
    """Upload a dataset that is ready, with findings; return the address of its page."""
    sent = client.post(
        "/v1/datasets?name=checked&task=detect",
        content=a_detect_zip(folder / "checked.zip").read_bytes(),
        headers={"Content-Type": "application/zip"},
    )
    dataset: str = sent.json()["id"]
    eventually(lambda: client.get(f"/v1/datasets/{dataset}").json()["state"] == "ready", within=60)
    return f"/datasets/{dataset}"


def visit(page: Page, path: str) -> None:
    """Open a page and wait until its scripts have drawn."""
    page.goto(path, wait_until="load")
    page.evaluate("() => new Promise((done) => requestIdleCallback(done, { timeout: 2000 }))")


class Answers:
    """The answers that a page has got."""

    def __init__(self) -> None:
        self.answers: list[Response] = []

    def add(self, answer: Response) -> None:
        self.answers.append(answer)


def size_of(answer: Response) -> int:
    """Return the bytes of an answer's body as they were sent; none of images and streams."""
    if answer.request.resource_type in {"image", "eventsource"}:
        return 0
    return int(answer.headers.get("content-length", 0))


class TestAccessibility:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_axe_finds_nothing_on_any_page(
        self, paths: dict[str, str], open_context: OpenContext, theme: str
    ) -> None:
        page = open_context(color_scheme=theme).new_page()
        axe = Axe()

        found: dict[str, list[str]] = {}
        for name, path in paths.items():
            visit(page, path)
            violations = axe.run(page).response["violations"]
            found |= {
                f"{name}: {each['id']}": [node["html"][:200] for node in each["nodes"][:3]]
                for each in violations
            }

        assert found == {}


class TestWidths:
    def test_no_page_is_wider_than_its_window(
        self, paths: dict[str, str], context: BrowserContext
    ) -> None:
        page = context.new_page()

        wide = []
        for name, path in paths.items():
            visit(page, path)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": HEIGHT})
                needed = page.evaluate("document.documentElement.scrollWidth")
                if needed > width:
                    wide.append((name, width, needed))

        assert not wide, wide


class TestWithoutScripts:
    def test_every_page_shows_its_content(
        self, paths: dict[str, str], open_context: OpenContext
    ) -> None:
        page = open_context(java_script_enabled=False).new_page()

        empty = []
        for name, path in paths.items():
            page.goto(path)
            if len(page.locator("main").inner_text()) < 50:
                empty.append(name)

        assert empty == []


class TestWeight:
    def test_no_page_needs_more_than_150_kilobytes_without_its_images(
        self, paths: dict[str, str], open_context: OpenContext
    ) -> None:
        heavy = []
        for name, path in paths.items():
            context = open_context()  # with an empty cache
            page = context.new_page()
            heard = Answers()
            page.on("response", heard.add)
            visit(page, path)
            weight = sum(map(size_of, heard.answers))
            if weight > MOST_BYTES:
                heavy.append((name, weight))
            context.close()

        assert heavy == []
