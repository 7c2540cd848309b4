"""The JSON models of a job's files."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.plots import PREVIEW_WIDTH, PlotSet, set_of_plot, title_of
from app.artifacts.tables import Artifact
from app.core.path_prefix import link
from app.core.tasks import TASK_NAMES
from app.jobs.http.records.made_files import MadeFile


class ChecksView(BaseModel):
    """The checks that weights passed in a clean process with stock Ultralytics before publication.

    `forward`: one forward pass at `imgsz` pixels returned finite numbers. `safe_load`: Ultralytics'
    safe loader read the file. `parameters` counts all parameters, trainable or not.
    """

    loads: bool = Field(description="The file was loaded.", examples=[True])
    forward: bool = Field(description="One forward pass returned finite numbers.", examples=[True])
    safe_load: bool = Field(description="Ultralytics' safe loader read the file.", examples=[True])
    ultralytics: str = Field(
        description="Version of Ultralytics that checked it.", examples=["8.4.190"]
    )
    task: str = Field(
        description="Task of the model.", examples=["detect"], json_schema_extra=TASK_NAMES
    )
    classes: int = Field(description="Number of its classes.", examples=[3])
    parameters: int = Field(description="Number of its parameters.", examples=[2_504_940])
    imgsz: int = Field(description="Image size of the forward pass, in pixels.", examples=[640])


class PlotPreviewView(BaseModel):
    """A small JPEG of a plot. `href` names its digest, so it never changes; sizes in pixels."""

    href: str = Field(
        description="Path of the JPEG.",
        examples=[
            "/v1/jobs/job_01JZ8QD3W5X0A1B2C3D4E5F6G7/artifacts/results.png/preview?width=520&sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        ],
    )
    width: int = Field(description="Width in pixels.", examples=[520])
    height: int = Field(description="Height in pixels.", examples=[260])

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

    name: str = Field(description="File name.", examples=["best.pt"])
    kind: ArtifactKind = Field(description="What the file is.", examples=["weights"])
    epoch: int | None = Field(
        description="Epoch of a checkpoint, or of weights. null: of no epoch.", examples=[27]
    )
    attempt: int = Field(description="Number of the attempt that stored it.", examples=[1])
    size_bytes: int = Field(description="Size of the file.", examples=[5_544_453])
    sha256: str = Field(
        description="SHA-256 of the file, in hex.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    checks: ChecksView | None = Field(
        description="The checks that the weights passed. null: it was not checked."
    )
    title: str | None = Field(
        description="What a plot shows; null: it is no plot.",
        examples=[None, "Losses and metrics by epoch"],
    )
    set: PlotSet | None = Field(
        description="The set of a plot: `results` of the training, or images of `validation` or "
        "`training` with their labels or predictions. null: it is no plot.",
        examples=[None],
    )
    preview: PlotPreviewView | None = Field(
        description="null: it is no plot, its preview could not be made, or an earlier release "
        "stored it.",
        examples=[None],
    )
    created_at: datetime = Field(description="When it was stored.")
    links: dict[str, str] = Field(
        description="Paths that belong to it; a training state has none.",
        examples=[{"download": "/v1/jobs/job_01JZ8QD3W5X0A1B2C3D4E5F6G7/artifacts/best.pt"}],
    )

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
