"""The journey of a new user: a real `trainyard up`, a real training, a real browser."""

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS, Complaints
from tests.browser.pages import heard_by, listen, wait_to_hear
from tests.browser.visitor import TRAINED_MS, Visitor
from tests.datasets.builders import POSE_KEYS, a_zip, label_files
from tests.waiting import eventually
from tests.worlds.server import Server, trainyard_up

BCCD: Final = Path(__file__).parents[1] / "data" / "bccd-yolo.zip"
LONG: Final = 40
"""Epochs of the training that is stopped."""
FEW: Final = {"train": 8, "val": 4}
SMALL: Final[dict[str, Any]] = {
    "epochs": 2,
    "imgsz": 64,
    "batch": 4,
    "nbs": 4,
    "warmup_epochs": 0,
    "optimizer": "AdamW",
    "lr0": 0.001,
    "plots": "false",
}

pytestmark = pytest.mark.real_data


@pytest.fixture
def server(chromium: Browser, tmp_path: Path) -> Iterator[Server]:
    """A new Trainyard. Each credential may have one stream: a second one would be refused."""
    assert chromium.is_connected()
    environment = {"TRAINYARD_STATE_EVERY": "1", "TRAINYARD_STREAMS__PER_CREDENTIAL": "1"}
    with trainyard_up(tmp_path / "home", environment) as running:
        yield running


@pytest.fixture
def complaints(server: Server) -> Complaints:
    return Complaints(server.url)


@pytest.fixture
def visitor(chromium: Browser, server: Server, complaints: Complaints) -> Iterator[Visitor]:
    """A person in front of a browser that has never been here."""
    context = chromium.new_context(base_url=server.url)
    context.set_default_timeout(PATIENCE_MS)
    complaints.listen_to(context)
    yield Visitor(context.new_page(), server)
    context.close()
    assert complaints.unexpected == []


@pytest.fixture(scope="module")
def few_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first photographs of each split of BCCD, with their labels."""
    path = tmp_path_factory.mktemp("cells") / "few cells.zip"
    with zipfile.ZipFile(BCCD) as whole, zipfile.ZipFile(path, "w") as cut:
        for name in few_names(whole.namelist()):
            cut.writestr(name, whole.read(name))
    return path


def few_names(names: list[str]) -> Iterator[str]:
    """Yield what describes the dataset, and the first files of the folders of each split."""
    taken: Counter[Path] = Counter()
    for name in sorted(names):
        folder = Path(name).parent
        if name == "data.yaml":
            yield name
        elif not name.endswith("/") and taken[folder] < FEW.get(folder.name, 0):
            taken[folder] += 1
            yield name


def test_a_new_user_trains_a_customized_model_on_photographs_and_downloads_it(
    visitor: Visitor, few_cells: Path
) -> None:
    visitor.sign_in_by_the_printed_link()
    visitor.upload(few_cells, "blood cells")
    visitor.expect_verified("Ready")
    visitor.jobs.begin_a_job("first cells", **SMALL)
    visitor.jobs.customize()
    visitor.jobs.expect_the_plan_to_follow()
    job = visitor.jobs.submit()
    visitor.jobs.expect_epoch(1)
    visitor.jobs.expect_epoch(2)
    visitor.jobs.expect_state("Succeeded")
    downloaded, named = visitor.jobs.download_best(job)
    visitor.sign_out()

    assert downloaded == named
    visitor.page.goto(f"/jobs/{job}")
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_new_user_does_everything_on_the_first_day(
    visitor: Visitor, complaints: Complaints, tmp_path: Path
) -> None:
    complaints.allow("ERR_")  # of the server that is killed
    listen(visitor.page.context)
    visitor.sign_in_by_the_printed_link()
    visitor.upload(BCCD, "blood cells")
    visitor.expect_verified("Ready")

    first = trains_and_is_stopped(visitor)
    second = visitor.jobs.clone("second", epochs=1, lr0=0.002)
    visitor.jobs.expect_state("Succeeded")
    visitor.jobs.compare(first, second)
    for column in ("train.epochs", "train.lr0"):
        expect(visitor.page.get_by_role("columnheader", name=column)).to_be_visible()
    fails_and_is_mended(visitor, tmp_path)
    is_mended_by_a_button(visitor, tmp_path)
    visitor.sign_out()


def trains_and_is_stopped(visitor: Visitor) -> str:
    """Train in eight tabs, lose the server, stop, and download what was learned."""
    visitor.jobs.begin_a_job("first", **{**SMALL, "epochs": LONG, "fraction": 0.2})
    visitor.jobs.customize()
    visitor.jobs.expect_the_plan_to_follow()
    job = visitor.jobs.submit()
    visitor.jobs.expect_epoch(1)
    visitor.jobs.expect_epoch(2)
    tabs = visitor.open_tabs(7)
    visitor.kill_the_server()
    visitor.jobs.head.get_by_role("button", name="Stop, keep result").click()
    visitor.page.wait_for_url(f"**/{job}")
    expect(visitor.jobs.head.locator(".st").first).to_have_text("Succeeded", timeout=TRAINED_MS)
    status = visitor.server.job(job)
    assert 2 <= status["progress"]["epoch"] < LONG
    events = visitor.server.get(f"/v1/jobs/{job}/events", limit=200)["data"]
    for tab in tabs:
        wait_to_hear(tab, job, events[-1]["seq"])
        heard = heard_by(tab, job)
        assert heard == list(range(heard[0], events[-1]["seq"] + 1))
        tab.close()
    downloaded, named = visitor.jobs.download_best(job)
    assert downloaded == named
    return job


def fails_and_is_mended(visitor: Visitor, folder: Path) -> None:
    """Train where all losses become NaN, and again with the rate that the page offers."""
    too_narrow = {**POSE_KEYS, "kpt_oks_sigmas": [1e-25] * 4}
    archive = a_zip(folder / "pose.zip", label_files("pose", train=24, val=4, **too_narrow))
    visitor.upload(archive, "points")
    visitor.expect_verified("Ready")
    visitor.jobs.begin_a_job("diverges", **{**SMALL, "epochs": 1})
    failed = visitor.jobs.submit()
    visitor.jobs.expect_state("Failed")
    amended = visitor.server.job(failed)["error"]["amended"]["train"]["lr0"]
    again = visitor.jobs.retry_amended(f"Retry with lr0 = {amended}")
    eventually(lambda: visitor.server.job(again)["state"] == "running", within=120)
    assert visitor.server.job(again)["spec"]["train"]["lr0"] == amended
    visitor.page.get_by_text("More", exact=True).click()
    visitor.page.get_by_role("link", name="Cancel").click()
    visitor.page.get_by_role("button", name="Cancel the job").click()
    expect(visitor.jobs.head.locator(".st").first).to_have_text("Cancelled", timeout=120_000)


def is_mended_by_a_button(visitor: Visitor, folder: Path) -> None:
    """Upload files that fit two tasks, and choose one of them."""
    visitor.upload(a_zip(folder / "obb.zip", label_files("obb", train=4, val=2)), "corners")
    visitor.expect_verified("Invalid")
    visitor.mend_by_the_button_of_a_finding("task = obb")
    visitor.expect_verified("Ready")
