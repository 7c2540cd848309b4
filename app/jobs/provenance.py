"""`provenance.json`: what an ended job's results were made of, and where."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, cast

from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session, load_only

from app.artifacts.tables import Artifact
from app.datasets.tables import DatasetVersion
from app.events.repository import events_of_types
from app.events.tables import EventRow
from app.jobs.repository import attempts_of
from app.jobs.states import JobState
from app.jobs.tables import Attempt, Job

ATTEMPT_STARTED: Final = "job.started"
TRAINER_STARTED: Final = "trainer.started"


class DatasetProvenance(BaseModel):
    """The version of the dataset, by its ids and digests."""

    id: str = Field(description="Id of the dataset.")
    version: int = Field(description="Number of the version, from 1.")
    version_id: str = Field(description="Id of the version.")
    archive_sha256: str = Field(description="Digest of the upload.")
    manifest_sha256: str | None = Field(
        description="Digest of the list of its files and their digests; null if it has none yet."
    )


class ModelProvenance(BaseModel):
    """The weights or the architecture that the training began with."""

    reference: str = Field(description="As given in the spec.")
    sha256: str | None = Field(description="Digest of the weights; null: none, or not known.")


class AttemptProvenance(BaseModel):
    """One attempt: where it ran, and which epochs it trained."""

    number: int = Field(description="From 1.")
    worker_name: str | None = Field(description="Host and slot; null: not known.")
    resumed: str = Field(description="none, exact or plain.")
    resumed_from: int | None = Field(description="The epoch after which it resumed.")
    first_epoch: int | None = Field(description="The first epoch that it trained.")
    last_epoch: int | None = Field(description="The last epoch that it finished.")
    device_name: str | None = Field(description="As its trainer reported it; null: not known.")
    environment: dict[str, JsonValue] | None = Field(
        description="Versions of Python and libraries, threads, CPU and device, by name; null if "
        "no trainer started, or one of a release that did not report them."
    )

    @classmethod
    def of(cls, attempt: Attempt, started: EventRow | None) -> Self:
        """Return the view of an attempt whose trainer reported its start, or did not."""
        data: Mapping[str, Any] = {} if started is None else started.data
        return cls(
            number=attempt.number,
            worker_name=attempt.worker_name,
            resumed=attempt.resumed,
            resumed_from=attempt.resumed_from,
            first_epoch=attempt.first_epoch,
            last_epoch=attempt.last_epoch,
            device_name=data.get("device_name"),
            environment=data.get("environment"),
        )


class FileProvenance(BaseModel):
    """A stored file of the job."""

    name: str
    size_bytes: int
    sha256: str


class Provenance(BaseModel):
    """The content of `provenance.json`. Equal rows give equal bytes."""

    job: str = Field(description="Id of the job.")
    parent: str | None = Field(description="The job that it extends or repeats; null: none.")
    state: JobState = Field(description="How it ended.")
    spec_sha256: str = Field(description="Digest of `spec.json`.")
    plan_sha256: str | None = Field(description="Digest of `plan.json`; null for older jobs.")
    dataset: DatasetProvenance
    model: ModelProvenance
    attempts: list[AttemptProvenance]
    files: list[FileProvenance] = Field(description="Stored files, by name.")


def provenance_of(
    session: Session, job: Job, files: Iterable[Artifact], digests: tuple[str, str | None]
) -> Provenance:
    """Return the provenance of an ended job.

    Args:
        session: an open session.
        job: the job.
        files: its stored files for download, by name.
        digests: those of `spec.json` and of `plan.json`.
    """
    # Reports of verifications are large.
    columns = load_only(
        DatasetVersion.number, DatasetVersion.archive_sha256, DatasetVersion.manifest_digest
    )
    version = session.get_one(DatasetVersion, job.dataset_version_id, options=[columns])
    spec_sha256, plan_sha256 = digests
    return Provenance(
        job=job.id,
        parent=job.parent_id,
        state=job.state,
        spec_sha256=spec_sha256,
        plan_sha256=plan_sha256,
        dataset=DatasetProvenance(
            id=job.dataset_id,
            version=version.number,
            version_id=version.id,
            archive_sha256=version.archive_sha256,
            manifest_sha256=version.manifest_digest,
        ),
        model=ModelProvenance(reference=job.model, sha256=job.model_sha256),
        attempts=_attempts(session, job.id),
        files=[
            FileProvenance(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256)
            for file in files
        ],
    )


def _attempts(session: Session, job_id: str) -> list[AttemptProvenance]:
    """Return the attempts, each with the last report of a start between its claim and the next."""
    rows = events_of_types(session, job_id, (ATTEMPT_STARTED, TRAINER_STARTED))
    started = _starts_by_attempt(rows)
    return [
        AttemptProvenance.of(each, started.get(each.number))
        for each in attempts_of(session, job_id)
    ]


def _starts_by_attempt(rows: Sequence[EventRow]) -> dict[int, EventRow]:
    starts: dict[int, EventRow] = {}
    number = 0
    for row in rows:
        if row.type == ATTEMPT_STARTED:
            number = cast("int", row.data["attempt"])
        else:
            starts[number] = row
    return starts
