"""Take every page, light and dark, wide and as a phone, from real trainings: `make screenshots`.

All pictures go to `docs/images/all`, which git ignores. Those that the documents show also go to
`docs/images`, with a palette, which makes them small.
"""

import argparse
import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Page

from app.web.entry.demo_routes import SPEC
from benchmarks.running_server import (
    ROOT,
    RunningServer,
    drawn_shapes,
    temporary_folder,
    wait_until,
)
from benchmarks.signed_in_browser import SignedInBrowser, trainyard_with_browser

IMAGES: Final = ROOT / "docs" / "images"
ALL: Final = IMAGES / "all"
BLOOD_CELLS: Final = ROOT / "tests" / "data" / "bccd-yolo.zip"
SHOWN: Final = frozenset(
    {
        "job-light-wide",
        "samples-light-wide",
        "jobs-dark-wide",
        "plan-light-wide",
        "compare-dark-wide",
        "new-job-light-wide",
        "images-light-wide",
        "job-dark-phone",
    }
)
WINDOWS: Final[Mapping[str, dict[str, Any]]] = {
    "wide": {"viewport": {"width": 1440, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
}
MOST_HEIGHT: Final = 3000
SHOWN_HEIGHT: Final = {"wide": 1000, "phone": 900}
COLOURS: Final = 256
CUSTOMIZED: Final[dict[str, Any]] = {
    **SPEC,
    "name": "shapes-all-five",
    "customize": {
        "metrics": {"f1": True, "per_class": True},
        "class_weights": {"mode": "inverse_frequency", "cap": 4},
        "best_model": {"metric": "metrics/F1(B)"},
        "freeze": {"layers": "backbone", "epochs": 3},
        "layer_lrs": [{"layers": "backbone", "factor": 0.5}],
    },
    "tags": {"goal": "triangles", "line": "4"},
}
TRAINED_SECONDS: Final = 3600.0


def main() -> None:
    """Train, and take the pictures while the last job runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    shutil.rmtree(ALL, ignore_errors=True)
    with temporary_folder() as folder, trainyard_with_browser(folder) as (server, browser):
        pages = trained_pages(server, folder)
        take(browser, pages)
    for name in SHOWN:
        keep_small(ALL / f"{name}.png", IMAGES / f"{name}.png")


def trained_pages(server: RunningServer, folder: Path) -> dict[str, str]:
    """Train jobs on datasets; return the address of each page, by a name for its pictures."""
    archive = drawn_shapes(folder, train=60, val=20, size=160)
    shapes = server.upload(archive, name="shapes")
    cells = server.upload(BLOOD_CELLS, name="blood-cells")
    server.client.post(
        "/v1/datasets?name=broken-shapes&task=detect",
        content=broken(archive),
        headers={"Content-Type": "application/zip"},
    ).raise_for_status()
    spec = {**CUSTOMIZED, "dataset": shapes}
    fast = {**SPEC["train"], "lr0": 1.0, "epochs": 5}
    ended = [
        server.submit({**spec, "name": "shapes-baseline", "customize": SPEC["customize"]}),
        server.submit({**spec, "name": "shapes-too-fast", "train": fast}),
        server.submit(spec),
    ]
    long = {**SPEC["train"], "epochs": 300}
    running = server.submit({**spec, "dataset": cells, "name": "cells-long", "train": long})
    server.submit({**spec, "name": "shapes-night", "resources": {"queue": "night"}})
    wait_until(
        lambda: (server.get(f"/v1/jobs/{running}")["progress"] or {}).get("epoch", 0) > 2,
        within=TRAINED_SECONDS,
        every=1,
    )
    return addresses(server, running, *ended)


def addresses(
    server: RunningServer, running: str, other: str, failed: str, job: str
) -> dict[str, str]:
    """Return the address of each page, by a name for its pictures."""
    datasets = {each["name"]: each["id"] for each in server.get("/v1/datasets")["data"]}
    cells, bad = f"/datasets/{datasets['blood-cells']}", f"/datasets/{datasets['broken-shapes']}"
    tabs = ("plan", "images", "log", "events", "files", "spec")
    parts = ("samples", "findings", "statistics", "duplicates", "versions")
    access = ("keys", "users", "projects", "webhooks", "audit")
    return {
        "jobs": "/jobs",
        "running": f"/jobs/{running}",
        "job": f"/jobs/{job}",
        **{tab: f"/jobs/{job}/{tab}" for tab in tabs},
        "failed": f"/jobs/{failed}",
        "compare": f"/jobs/compare?jobs={job},{other}",
        "new-job": f"/jobs/new?clone={job}",
        "datasets": "/datasets",
        "dataset": cells,
        **{part: f"{cells}/{part}" for part in parts},
        "invalid": bad,
        "upload": "/datasets/new",
        "workers": "/workers",
        "models": "/models",
        **{name: f"/access/{name}" for name in access},
        "account": "/account",
        "sign-in": "/sign-in",
        "missing": "/jobs/job_00000000000000000000000000",
    }


def take(browser: SignedInBrowser, pages: Mapping[str, str], folder: Path = ALL) -> None:
    """Take each page in both themes and both windows."""
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for window, options in WINDOWS.items():
            with browser.profile(color_scheme=theme, **options) as context:
                page = context.new_page()
                for name, path in pages.items():
                    take_one(page, path, folder / f"{name}-{theme}-{window}.png")


def take_one(page: Page, path: str, file: Path) -> None:
    """Take one page whole, its charts drawn and its pictures loaded."""
    page.goto(path)
    height = min(MOST_HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size({"width": before["width"], "height": height})  # draws every chart
    page.wait_for_load_state("load")
    page.wait_for_function(
        "() => [...document.images].every(image => image.complete || image.loading === 'lazy')"
    )
    page.evaluate("() => new Promise(done => requestIdleCallback(done, {timeout: 2000}))")
    page.screenshot(path=file)
    page.set_viewport_size(before)


def keep_small(source: Path, target: Path) -> None:
    """Write the top of a picture with few colours."""
    with Image.open(source) as picture:
        window = source.stem.rpartition("-")[2]
        scale = WINDOWS[window].get("device_scale_factor", 1)
        height = min(picture.height, SHOWN_HEIGHT[window] * scale)
        top = picture.convert("RGB").crop((0, 0, picture.width, height))
        small = top.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(target, optimize=True)


def broken(archive: Path) -> bytes:
    """Return an archive in which every third label is wrong."""
    broken_zip = io.BytesIO()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(broken_zip, "w") as target:
        labels = [each for each in source.namelist() if each.endswith(".txt") and "labels" in each]
        wrong = {*labels[::3]}
        for name in source.namelist():
            content = source.read(name)
            more = b"9 0.5 0.5 0.1 0.1\n0 0.5 0.5 2.0 0.1\n"
            target.writestr(name, content + more if name in wrong else content)
    return broken_zip.getvalue()


if __name__ == "__main__":
    main()
