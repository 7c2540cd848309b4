"""Measure the pages in Chromium: first paint, charts, memory, layout shifts and bytes.

A real training runs through `trainyard up`; its epochs arrive in an open page while shifts of the
layout are summed. Ticks of an hour are replayed by an event stream inside the page, so that they
take a minute. Server, worker and browser share the cores of this machine.
"""

import argparse
import os
from collections.abc import Sequence
from statistics import median
from typing import Any

from playwright.sync_api import BrowserContext, CDPSession, Page, Response

from benchmarks.running_server import Failed, RunningServer, drawn_shapes, temporary_folder
from benchmarks.signed_in_browser import PATIENCE_MS, SignedInBrowser, trainyard_with_browser
from benchmarks.statistics_of_pairs import table
from benchmarks.web_scripts import BUILD, FAKE_STREAM, REPLAY, SHIFTS

RUNS = 9
SERIES, EPOCHS = 30, 300
TICKS, TICKS_AN_EPOCH = 3600, 30
LIVE_EPOCHS = 10
WIDE = {"width": 1440, "height": 900}
LIMITS = {"chart": 100.0, "paint": 1000.0, "heap": 1.1, "shift": 0.0, "bytes": 150_000.0}
TRAINING = {
    "model": "yolo26n.yaml",
    "name": "measured",
    "train": {"epochs": 2 * LIVE_EPOCHS, "imgsz": 64, "batch": 8},
    "customize": {"metrics": {"f1": True, "per_class": True}},
}
TRAINING_MS = 1_200_000

Row = Sequence[str]


class Answers:
    """The answers that a page has got."""

    def __init__(self) -> None:
        self.answers: list[Response] = []

    def add(self, answer: Response) -> None:
        """Keep an answer."""
        self.answers.append(answer)


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of charts and paints")
    parser.add_argument("--ticks", type=int, default=TICKS, help="to replay")
    asked = parser.parse_args()
    with temporary_folder() as folder, trainyard_with_browser(folder) as (server, browser):
        archive = drawn_shapes(folder, train=32, val=16, size=64)
        job = server.submit({**TRAINING, "dataset": server.upload(archive, name="shapes")})
        rows = [shifts_row(browser, job)]
        server.wait_for_end(job)
        rows += [
            chart_row(browser, job, asked.runs),
            *(paint_row(browser, path, asked.runs) for path in ("/jobs", f"/jobs/{job}")),
            heap_row(browser, job, asked.ticks),
            bytes_row(browser, paths_of(server, job)),
        ]
    print(f"medians of {asked.runs}, load {os.getloadavg()[0]:.1f}\n")
    print(table([["measured", "figure", "budget"], *rows]))


def row(what: str, figure: str, budget: str, *, value: float, limit: str) -> Row:
    """Return a row of the table with its verdict."""
    verdict = "kept" if value <= LIMITS[limit] else "MISSED"
    return [what, figure, f"{budget}: {verdict}"]


def shifts_row(browser: SignedInBrowser, job: str) -> Row:
    """Look at a running job and the list of jobs until ten more epochs have ended in each."""
    with browser.profile(viewport=WIDE) as context:
        pages = [context.new_page() for _ in range(2)]
        for page, path in zip(pages, (f"/jobs/{job}", "/jobs"), strict=True):
            page.goto(path)
        pages[0].wait_for_selector("figure.chart canvas", timeout=TRAINING_MS)
        for page in pages:
            page.evaluate(SHIFTS)
        wanted = pages[0].evaluate("heardEpochs") + LIVE_EPOCHS
        for page in pages:
            heard = f"() => heardEpochs >= {wanted if page is pages[0] else LIVE_EPOCHS}"
            page.wait_for_function(heard, timeout=TRAINING_MS)
        shifts = [page.evaluate("shiftSum()") for page in pages]
    what = f"layout shift over {LIVE_EPOCHS} live epochs, job and list"
    return row(what, f"{shifts[0]:g} and {shifts[1]:g}", "0", value=max(shifts), limit="shift")


def chart_row(browser: SignedInBrowser, job: str, runs: int) -> Row:
    """Construct a chart with many series several times in the page of a job."""
    with browser.profile(viewport=WIDE) as context:
        page = context.new_page()
        page.goto(f"/jobs/{job}")
        page.wait_for_selector("figure.chart canvas")
        times = page.evaluate(BUILD, {"series": SERIES, "epochs": EPOCHS, "runs": runs})
    what = f"chart of {SERIES} series x {EPOCHS} epochs constructed"
    value = median(times)
    return row(what, f"{value:.0f} ms", "< 100 ms", value=value, limit="chart")


def paint_row(browser: SignedInBrowser, path: str, runs: int) -> Row:
    """Open a page several times, each time with an empty cache."""
    times = []
    for _ in range(runs):
        with browser.profile(viewport=WIDE) as context:
            page = context.new_page()
            page.goto(path)
            find = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            page.wait_for_function(find)
            times.append(page.evaluate(find))
    value, what = median(times), "the list of jobs" if path == "/jobs" else "a job"
    return row(
        f"first contentful paint of {what}", f"{value:.0f} ms", "< 1 s", value=value, limit="paint"
    )


def heap_row(browser: SignedInBrowser, job: str, ticks: int) -> Row:
    """Replay ticks, and an epoch now and then; compare the heap early on with that at the end."""
    early = ticks // 10
    with browser.profile(viewport=WIDE) as context:
        page, session = page_with_fake_stream(context, f"/jobs/{job}")
        sizes = []
        for first, last in ((0, early), (early, ticks)):
            asked = {"job": job, "first": first, "last": last, "everyEpoch": TICKS_AN_EPOCH}
            page.evaluate(REPLAY, asked)
            sizes.append(heap_of(session))
    ratio = sizes[1] / sizes[0]
    figure = f"{ratio:.3f} ({sizes[0] / 1e6:.2f} to {sizes[1] / 1e6:.2f} MB)"
    what = f"heap after {ticks:,} replayed ticks / after {early:,}"
    return row(what, figure, "≤ 1.1", value=ratio, limit="heap")


def page_with_fake_stream(context: BrowserContext, path: str) -> tuple[Page, CDPSession]:
    """Open a page whose events come from a script instead of the server."""
    context.add_init_script(FAKE_STREAM)
    page = context.new_page()
    page.goto(path)
    page.wait_for_selector("figure.chart canvas")
    page.wait_for_function("() => globalThis.fakeStream !== undefined")
    return page, context.new_cdp_session(page)


def heap_of(session: CDPSession) -> float:
    """Collect garbage and return the bytes in use."""
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    return used


def paths_of(server: RunningServer, job: str) -> list[str]:
    """Return the address of each page."""
    dataset = server.get("/v1/datasets")["data"][0]["id"]
    tabs = ["", "/plan", "/images", "/log", "/events", "/files", "/spec"]
    parts = ["", "/samples", "/findings", "/statistics", "/versions"]
    lists = ["/jobs", "/datasets", "/datasets/new", "/workers", "/models", "/account"]
    access = [f"/access/{name}" for name in ("keys", "users", "projects", "webhooks", "audit")]
    return [
        *lists,
        f"/jobs/new?clone={job}",
        f"/jobs/compare?jobs={job}",
        *(f"/jobs/{job}{tab}" for tab in tabs),
        *(f"/datasets/{dataset}{part}" for part in parts),
        *access,
    ]


def bytes_row(browser: SignedInBrowser, paths: Sequence[str]) -> Row:
    """Sum the bytes of each page as they are sent, with an empty cache, without images."""
    weights: dict[str, int] = {}
    for path in paths:
        with browser.profile(viewport=WIDE) as context:
            page, heard = context.new_page(), Answers()
            page.on("response", heard.add)
            page.goto(path, timeout=PATIENCE_MS)
            page.wait_for_load_state("load")
            weights[path] = sum(size_of(each) for each in heard.answers)
    if not all(weights.values()):
        raise Failed(f"a page has no bytes: {weights}")
    heaviest = max(weights, key=lambda path: weights[path])
    least = min(weights.values())
    figure = f"{least / 1000:.0f} to {weights[heaviest] / 1000:.0f} kB (`{shown(heaviest)}`)"
    value = weights[heaviest]
    return row(
        f"bytes of {len(paths)} pages, compressed", figure, "≤ 150 kB", value=value, limit="bytes"
    )


def size_of(answer: Response) -> int:
    """Return the bytes of an answer's body as they were sent; none of images and streams."""
    kind: Any = answer.request.resource_type
    return 0 if kind in {"image", "eventsource"} else int(answer.headers.get("content-length", 0))


def shown(path: str) -> str:
    """Return an address without its id."""
    return "/".join(
        "{id}" if "_" in part else part for part in path.split("?", maxsplit=1)[0].split("/")
    )


if __name__ == "__main__":
    main()
