"""The first two clicks of a new user: the demo dataset, and a job that trains on it."""

import io
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from app.core.strict_json import StrictRoute
from app.web.api import Content
from app.web.entry.shapes import write_shapes
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

NAME: Final = "shapes"
TRAIN_IMAGES, VAL_IMAGES, IMAGE_SIZE = 60, 20, 160
SPEC: Final[dict[str, Any]] = {
    "name": "first job",
    "model": "yolo26n.yaml",
    "train": {
        "epochs": 18,
        "imgsz": IMAGE_SIZE,
        "batch": 8,
        "nbs": 8,
        "optimizer": "AdamW",
        "lr0": 0.002,
        "warmup_epochs": 0,
        "close_mosaic": 5,
    },
    "customize": {"metrics": {"f1": True, "per_class": True}},
    "tags": {"demo": "shapes"},
}
"""Learns to find the shapes in a few minutes on a CPU."""


@router.post("/demo/dataset")
async def add_demo_dataset(page: InPage) -> Response:
    """Draw the demo dataset and upload it to the user's first project."""
    archive = await run_in_threadpool(_archive)
    query = {"name": NAME, "task": "detect", "project": await _project(page)}
    content = Content(archive, "application/zip")
    await page.api.answer("POST", "/v1/datasets", query=query, content=content)
    return page.redirect("/jobs")


@router.post("/demo/job")
async def start_demo_job(page: InPage) -> Response:
    """Submit a job that trains on a dataset of the demo."""
    form = await form_of(page.request)
    spec = {**SPEC, "dataset": form.one("dataset"), "project": await _project(page)}
    job = await page.api.send("POST", "/v1/jobs", spec)
    return page.redirect(f"/jobs/{job['id']}")


async def _project(page: Page) -> str:
    """Return the first project in which the user may submit jobs."""
    projects: dict[str, str] = page.me["projects"]
    return next((name for name, role in projects.items() if role != "viewer"), "default")


def _archive() -> bytes:
    archive = io.BytesIO()
    write_shapes(archive, train=TRAIN_IMAGES, val=VAL_IMAGES, size=IMAGE_SIZE)
    return archive.getvalue()
