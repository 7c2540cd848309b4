"""The log of a job as text in the page: its last lines, those around a line, or a search."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.path_prefix import link
from app.core.strict_json import StrictRoute
from app.web.jobs.one_job.job_header import read_header
from app.web.jobs.one_job.log_lines import LogLine, lines_of, matches_of
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage, Page
from app.web.typed_numbers import whole_number

SHOWN: Final = 2000
MOST_MATCHES: Final = 200

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@dataclass(frozen=True)
class LogPart:
    """The lines that the page shows.

    Attributes:
        lines: of the log.
        total: the number of lines of the whole log; None after a search.
        continued_at: the line at which the search goes on; None: it is complete.
    """

    lines: list[LogLine]
    total: int | None = None
    continued_at: int | None = None

    @property
    def first(self) -> int:
        """Number of the first line."""
        return self.lines[0].number if self.lines else 1

    @property
    def last(self) -> int:
        """Number of the last line."""
        return self.lines[-1].number if self.lines else 0

    @property
    def is_at_end(self) -> bool:
        """Whether the last line of the log is shown."""
        return self.total is not None and self.last >= self.total


@router.get("/jobs/{job_id}/log")
async def show_log(job_id: str, page: InPage) -> Response:
    """Show the log of an attempt; for a script that follows it, only its lines from `after` on."""
    path = f"/v1/jobs/{job_id}/logs"
    attempt = page.query.get("attempt")
    if "after" in page.query:
        asked = {"attempt": attempt, "lines": f"{page.query['after']}-"}
        newer = lines_of(await page.api.answer("GET", path, query=asked))
        return await page.render("jobs/one_job/log-new.html", lines=newer)
    header = await read_header(page, job_id)
    if not header.job["attempt"]:
        return await render_tab(page, header, "Log", "log-none.html")
    part = await _part(page, path)
    newest = header.job["attempt"]
    shown = whole_number(attempt or "", otherwise=newest)
    return await render_tab(
        page,
        header,
        "Log",
        "log.html",
        part=part,
        q=page.query.get("q", ""),
        attempt=shown,
        attempts=range(newest, 0, -1),
        whole=link(f"{path}?attempt={shown}"),
        may_follow=shown == newest and header.job["state"] == "running" and part.is_at_end,
    )


async def _part(page: Page, path: str) -> LogPart:
    """Read what the address asks for."""
    query = page.query
    attempt, text = query.get("attempt"), query.get("q")
    start = _number(query.get("from"))
    if text:
        lines = f"{start}-" if start else None
        asked: dict[str, Any] = {"q": text, "limit": MOST_MATCHES, "lines": lines}
        found = await page.api.get(path, {**asked, "attempt": attempt})
        continued = found["searched_to"] + 1 if found["more"] else None
        return LogPart(matches_of(found["lines"]), continued_at=continued)
    line = _number(query.get("line"))
    if line:
        start = max(1, line - SHOWN // 2)
    part = {"lines": f"{start}-{start + SHOWN - 1}"} if start else {"tail": SHOWN}
    answer = await page.api.answer("GET", path, query={**part, "attempt": attempt})
    return LogPart(lines_of(answer), total=int(answer.headers["x-lines"]))


def _number(text: str | None) -> int | None:
    """Return the number of a line; None for something else."""
    return whole_number(text or "", otherwise=None) or None
