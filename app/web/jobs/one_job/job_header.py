"""A job as the header of its pages needs it, read from the API."""

from dataclasses import dataclass
from typing import Any, Final

from app.web.api import ApiProblem
from app.web.pages import Page

RECENT_EPOCHS: Final = 10
"""The seconds of an epoch are a mean over this many of the newest ones."""
MOST_WARNINGS: Final = 100
NOT_FOUND: Final = 404

Job = dict[str, Any]


@dataclass(frozen=True)
class RecentEpochs:
    """The newest epochs of a job.

    Attributes:
        last_epoch: the last one that has ended; 0 for none.
        last_value: its value of the metric that chooses best.pt.
        epoch_seconds: how long an epoch takes.
    """

    last_epoch: int
    last_value: float | None
    epoch_seconds: float | None

    @classmethod
    def of(cls, metrics: dict[str, Any], key: str | None) -> "RecentEpochs":
        """Return what the metrics of the newest epochs say."""
        epochs, seconds = metrics["epochs"], metrics["seconds"]
        if not epochs:
            return cls(0, None, None)
        values = metrics["series"].get(key) or [None]
        took = (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else None
        return cls(epochs[-1], values[-1], took)


@dataclass(frozen=True)
class JobHeader:
    """A job, and what the header of its pages shows.

    Attributes:
        job: its status.
        tag: the entity tag of the status.
        files: its downloadable files.
        recent: its newest epochs.
        warnings: how many warnings its training gave, at most `MOST_WARNINGS`.
        dataset_number: number of the version of its dataset; None: it was deleted.
        parent: the row of the job that it was made from; None without one.
    """

    job: Job
    tag: str
    files: list[dict[str, Any]]
    recent: RecentEpochs
    warnings: int
    dataset_number: int | None
    parent: Job | None

    @property
    def path(self) -> str:
        """Path of the job's pages."""
        return f"/jobs/{self.job['id']}"


async def read_header(page: Page, job_id: str) -> JobHeader:
    """Read a job and what its header shows.

    Raises:
        ApiProblem: the user cannot see such a job.
    """
    api, path = page.api, f"/v1/jobs/{job_id}"
    answer = await api.answer("GET", path)
    job = answer.data
    key = job["best"]["metric"] if job["best"] else None
    newest = job["progress"]["epoch"] if job["progress"] else 0
    asked = {"keys": key or "none", "since": max(0, newest - RECENT_EPOCHS - 1) or None}
    metrics = await api.get(f"{path}/metrics", asked) if newest else None
    files = await api.get(f"{path}/artifacts")
    warnings = await api.get(f"{path}/events", {"type": "trainer.warning", "limit": MOST_WARNINGS})
    return JobHeader(
        job=job,
        tag=answer.headers.get("etag", ""),
        files=files["data"],
        recent=RecentEpochs.of(metrics, key) if metrics else RecentEpochs(0, None, None),
        warnings=len(warnings["data"]),
        dataset_number=await _dataset_number(page, job),
        parent=await _parent(page, job),
    )


async def _dataset_number(page: Page, job: Job) -> int | None:
    if job["dataset_name"] is None:
        return None
    try:
        found: int = (await page.api.get(f"/v1/datasets/{job['dataset_version']}"))["number"]
    except ApiProblem as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
    return found


async def _parent(page: Page, job: Job) -> Job | None:
    if job["parent"] is None:
        return None
    found = await page.api.get("/v1/jobs", {"ids": job["parent"]})
    return next(iter(found["data"]), None)
