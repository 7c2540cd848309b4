"""The JSON models of a job's files."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.plots import PREVIEW_WIDTH, PlotSet, set_of_plot, title_of
from app.artifacts.tables import Artifact
from app.core.path_prefix import link
from app.jobs.http.records.made_files import MadeFile


class ChecksView(BaseModel):
    """The checks that weights passed in a clean process with stock Ultralytics before publication.

    `forward`: one forward pass at `imgsz` pixels returned finite numbers. `safe_load`: Ultralytics'
    safe loader read the file. `parameters` counts all parameters, trainable or not.
    """

    loads: bool
    forward: bool
    safe_load: bool
    ultralytics: str
    task: str
    classes: int
    parameters: int
    imgsz: int


class PlotPreviewView(BaseModel):
    """A small JPEG of a plot. `href` names its digest, so it never changes; sizes in pixels."""

    href: str
    width: int
    height: int

    @classmethod
    def of(cls, plot: Artifact, preview: Artifact) -> Self:
        """Return the view of the preview of a plot."""
        path = link(f"/v1/jobs/{plot.job_id}/artifacts/{plot.name}/preview")
        return cls(
            href=f"{path}?width={PREVIEW_WIDTH}&sha256={preview.sha256}",
            width=preview.width or 0,
            height=preview.height or 0,
        )


class ArtifactView(BaseModel):
    """A downloadable file of the job, or a checkpoint that it can resume from."""

    name: str
    kind: ArtifactKind
    epoch: int | None
    attempt: int
    size_bytes: int
    sha256: str
    checks: ChecksView | None
    title: str | None = Field(description="What a plot shows; null: it is no plot.")
    set: PlotSet | None = Field(
        description="The set of a plot: `results` of the training, or images of `validation` or "
        "`training` with their labels or predictions. null: it is no plot."
    )
    preview: PlotPreviewView | None = Field(
        description="null: it is no plot, its preview could not be made, or an earlier release "
        "stored it."
    )
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of_made(cls, job_id: str, file: MadeFile) -> Self:
        """Return the view of a file that is made from the job's rows."""
        return cls(
            name=file.name,
            kind=ArtifactKind.CONFIG,
            epoch=None,
            attempt=0,
            size_bytes=len(file.content),
            sha256=file.sha256,
            checks=None,
            title=None,
            set=None,
            preview=None,
            created_at=file.created_at,
            links={"download": link(f"/v1/jobs/{job_id}/artifacts/{file.name}")},
        )

    @classmethod
    def of(cls, row: Artifact, preview: Artifact | None = None) -> Self:
        """Return the view of a row, and of a plot's preview; training states have no download."""
        is_plot = row.kind is ArtifactKind.PLOT
        is_checkpoint = row.kind is ArtifactKind.CHECKPOINT
        folder = f"checkpoints/{row.epoch}" if is_checkpoint else "artifacts"
        path = link(f"/v1/jobs/{row.job_id}/{folder}/{row.name}")
        links = {} if row.name == STATE else {"download": path}
        return cls(
            name=row.name,
            kind=row.kind,
            epoch=row.epoch,
            attempt=row.attempt,
            size_bytes=row.size_bytes,
            sha256=row.sha256,
            checks=None if row.checks is None else ChecksView.model_validate(row.checks),
            title=title_of(row.name) if is_plot else None,
            set=set_of_plot(row.name) if is_plot else None,
            preview=None if preview is None else PlotPreviewView.of(row, preview),
            created_at=row.created_at,
            links=links,
        )
