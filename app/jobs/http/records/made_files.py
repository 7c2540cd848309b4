"""Files of a job that are made from its rows for each request: its spec, plan and provenance."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.artifacts.tables import Artifact
from app.core.database import UnitOfWork
from app.core.ranges import Download
from app.jobs.plan.views import PlanView
from app.jobs.provenance import provenance_of
from app.jobs.tables import Job, JobPlan

SPEC: Final = "spec.json"
PLAN: Final = "plan.json"
PROVENANCE: Final = "provenance.json"
MADE: Final = frozenset({SPEC, PLAN, PROVENANCE})
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
    """Return the spec and the plan of a job.

    `spec.json` is the spec as it was submitted, which can be posted again; `plan.json` is the
    answer of `/plan`, with the spec as it runs. Jobs that are older than plans have none.
    """
    spec = json.dumps(job.spec, ensure_ascii=False, indent=2) + "\n"
    files = [MadeFile(SPEC, spec.encode(), job.created_at)]
    if plan is not None:
        text = PlanView.stored(plan, job).model_dump_json(indent=2) + "\n"
        files.append(MadeFile(PLAN, text.encode(), job.created_at))
    return files


def with_provenance(
    unit: UnitOfWork, job: Job, made: list[MadeFile], stored: Iterable[Artifact]
) -> list[MadeFile]:
    """Return the made files of a job, with its provenance once it has ended.

    Args:
        unit: an open transaction.
        job: the job.
        made: its spec and its plan.
        stored: its stored files for download.
    """
    if job.ended_at is None:
        return made
    digests = {file.name: file.sha256 for file in made}
    files = [file for file in stored if file.name not in MADE]
    content = provenance_of(unit.session, job, files, (digests[SPEC], digests.get(PLAN)))
    text = content.model_dump_json(indent=2) + "\n"
    return [*made, MadeFile(PROVENANCE, text.encode(), job.ended_at)]
