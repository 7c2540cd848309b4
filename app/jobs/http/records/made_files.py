"""`spec.json` and `plan.json`: files of a job that are made from its rows for each request."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core.ranges import Download
from app.jobs.plan.views import PlanView
from app.jobs.tables import Job, JobPlan

SPEC: Final = "spec.json"
PLAN: Final = "plan.json"
MADE: Final = frozenset({SPEC, PLAN})
"""Names that no stored file of a job takes in lists and downloads."""


@dataclass(frozen=True)
class MadeFile:
    """A file that is made from rows; equal rows give equal bytes."""

    name: str
    content: bytes
    created_at: datetime

    @property
    def sha256(self) -> str:
        """Digest of the content in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def download(self) -> Download:
        """Return it as a download."""
        return Download(
            size_bytes=len(self.content),
            etag=f'"{self.sha256}"',
            media_type="application/json",
            filename=self.name,
            read=lambda start, length: [self.content[start : start + length]],
        )


def made_files(job: Job, plan: JobPlan | None) -> list[MadeFile]:
    """Return a job's made files, by name.

    `spec.json` is the spec as it was submitted, which can be posted again; `plan.json` is the
    answer of `/plan`, with the spec as it runs. Jobs that are older than plans have none.
    """
    spec = json.dumps(job.spec, ensure_ascii=False, indent=2) + "\n"
    files = [MadeFile(SPEC, spec.encode(), job.created_at)]
    if plan is not None:
        text = PlanView.stored(plan, job).model_dump_json(indent=2) + "\n"
        files.append(MadeFile(PLAN, text.encode(), job.created_at))
    return sorted(files, key=lambda file: file.name)
