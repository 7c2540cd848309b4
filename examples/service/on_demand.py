"""A service that trains on demand: it submits jobs to Trainyard and publishes their weights.

`uvicorn --app-dir examples/service on_demand:app` needs fastapi, uvicorn and Trainyard's client.
TRAINYARD_URL and TRAINYARD_API_KEY name the server. Who may use the service is for you to add.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from trainyard import AsyncClient, AsyncJob, ProblemError


class Training(BaseModel):
    """What a training needs."""

    dataset: str = Field(pattern=r"^(ds|dsv)_[0-9A-Z]{26}$")
    model: str = Field(default="yolo26n.yaml", pattern=r"^[\w-]+\.yaml$")
    epochs: int = Field(default=50, ge=1)
    imgsz: int = Field(default=640, ge=32)


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client while the service runs."""
    async with AsyncClient() as client:
        app.state.trainyard = client
        yield


app = FastAPI(title="Training on demand", lifespan=connected)


def trainyard(request: Request) -> AsyncClient:
    """Return the client of the service."""
    client: AsyncClient = request.app.state.trainyard
    return client


Trainyard = Annotated[AsyncClient, Depends(trainyard)]


@app.exception_handler(ProblemError)
async def refused(_: Request, error: ProblemError) -> JSONResponse:
    """Answer with what the server of Trainyard said."""
    return JSONResponse({"detail": str(error)}, error.status)


def state_of(job: AsyncJob) -> dict[str, Any]:
    """Return what callers see of a job."""
    return {"id": job.id, "state": job.state, "best": job.best.value, "page": job.url}


@app.post("/trainings", status_code=202)
async def start(training: Training, client: Trainyard) -> dict[str, Any]:
    """Start a training."""
    wanted = training.model_dump(exclude={"dataset"})
    return state_of(await client.train(training.dataset, **wanted))


@app.get("/trainings/{job_id}")
async def show(job_id: str, client: Trainyard) -> dict[str, Any]:
    """Show the state of a training."""
    return state_of(await client.jobs.get(job_id))


@app.get("/trainings/{job_id}/best.pt")
async def best(job_id: str, client: Trainyard) -> FileResponse:
    """Download the best weights so far."""
    job = await client.jobs.get(job_id)
    folder = tempfile.TemporaryDirectory()
    try:
        path = await job.best.download(Path(folder.name) / "best.pt")
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(path, filename="best.pt", background=BackgroundTask(folder.cleanup))
