"""A job as the header of its pages needs it, read from the API."""

from dataclasses import dataclass
from typing import Any, Final

from app.web.api import ApiProblem
from app.web.pages import Page

RECENT_EPOCHS: Final = 10
"""The seconds of an epoch are a mean over this many of the newest ones."""
EMBEDDED_EPOCHS: Final = 500
"""Curves of more epochs are fetched by the script, which gets 304 for those that it has."""
TABLE_EPOCHS: Final = 200
MOST_WARNINGS: Final = 100
NOT_FOUND: Final = 404

Job = dict[str, Any]


@dataclass(frozen=True)
class RecentEpochs:
    """The newest epochs of a job, at least `RECENT_EPOCHS` if it has them.

    Attributes:
        metrics: of these epochs.
        is_all: whether these are all epochs, with all series.
        key: the metric that chooses best.pt.
    """

    metrics: dict[str, Any]
    is_all: bool
    key: str | None

    @property
    def last_epoch(self) -> int:
        """The last epoch that has ended; 0 for none."""
        epochs: list[int] = self.metrics["epochs"]
        return epochs[-1] if epochs else 0

    @property
    def last_value(self) -> float | None:
        """The value of the last epoch."""
        values: list[float | None] = self.metrics["series"].get(self.key) or [None]
        return values[-1]

    @property
    def epoch_seconds(self) -> float | None:
        """How long an epoch takes; None if fewer than two have ended."""
        seconds: list[float] = self.metrics["seconds"][-RECENT_EPOCHS - 1 :]
        return (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else None


@dataclass(frozen=True)
class JobHeader:
    """A job, and what the header of its pages shows.

    Attributes:
        job: its status.
        files: its downloadable files.
        recent: its newest epochs.
        warnings: how many warnings its training gave, at most `MOST_WARNINGS`.
        dataset: the version of its dataset; None: it was deleted.
        parent: the row of the job that it was made from; None without one.
    """

    job: Job
    files: list[dict[str, Any]]
    recent: RecentEpochs
    warnings: int
    dataset: dict[str, Any] | None
    parent: Job | None

    @property
    def path(self) -> str:
        """Path of the job's pages."""
        return f"/jobs/{self.job['id']}"


async def read_header(page: Page, job_id: str, *, with_curves: bool = False) -> JobHeader:
    """Read a job and what its header shows.

    Args:
        page: of the request.
        job_id: of the job.
        with_curves: whether to read all series, of all epochs or of the newest of very many.

    Raises:
        ApiProblem: the user cannot see such a job.
    """
    api, path = page.api, f"/v1/jobs/{job_id}"
    job = await api.get(path)
    files = await api.get(f"{path}/artifacts")
    warnings = await api.get(f"{path}/events", {"type": "trainer.warning", "limit": MOST_WARNINGS})
    return JobHeader(
        job=job,
        files=files["data"],
        recent=await _recent(page, job, with_curves=with_curves),
        warnings=len(warnings["data"]),
        dataset=await _dataset(page, job),
        parent=await _parent(page, job),
    )


async def _recent(page: Page, job: Job, *, with_curves: bool) -> RecentEpochs:
    key = job["best"]["metric"] if job["best"] else None
    newest = job["progress"]["epoch"] if job["progress"] else 0
    if not newest:
        return RecentEpochs({"epochs": [], "seconds": [], "series": {}}, is_all=False, key=key)
    is_all = with_curves and newest <= EMBEDDED_EPOCHS
    count = TABLE_EPOCHS if with_curves else RECENT_EPOCHS
    asked = {
        "keys": None if with_curves else key or "none",
        "since": None if is_all else max(0, newest - count - 1) or None,
    }
    metrics = await page.api.get(f"/v1/jobs/{job['id']}/metrics", asked)
    return RecentEpochs(metrics, is_all, key)


async def _dataset(page: Page, job: Job) -> dict[str, Any] | None:
    if job["dataset_name"] is None:
        return None
    try:
        found: dict[str, Any] = await page.api.get(f"/v1/datasets/{job['dataset_version']}")
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
