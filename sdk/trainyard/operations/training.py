"""`train`: from a dataset and a model of this machine to a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from trainyard.core.connection import Connection
from trainyard.core.steps import Operation
from trainyard.errors import NotFoundError, TrainyardError
from trainyard.operations.datasets import datasets_named
from trainyard.operations.jobs import submit_job
from trainyard.operations.models import ModelPush, push_model, read_model
from trainyard.operations.pushes import OnProgress, Push, push_dataset
from trainyard.packing.ultralytics_settings import settings_folder
from trainyard.views.datasets import DatasetView
from trainyard.views.jobs import JobView

TASKS: Final = {
    "seg": "segment",
    "pose": "pose",
    "obb": "obb",
    "cls": "classify",
    "sem": "semantic",
    "depth": "depth",
}
"""The task by the end of a model's name."""
UNSAID: Final = frozenset({"detect", "classify"})
"""Tasks that need not be named for a dataset: a detector also learns from outlines."""


@dataclass(frozen=True)
class Training:
    """What to train.

    Args:
        data: a data.yaml, a folder or an archive of this machine; or a dataset of the server, as
            view, id or name.
        model: a `.pt` file of this machine, or a model of the server.
        spec: other fields of the spec, such as `train` and `customize`.
        idempotency_key: submits once, however often it is sent with the same spec.
        on_progress: told how far the sending of the dataset is.
    """

    data: str | Path | DatasetView
    model: str | Path
    spec: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    on_progress: OnProgress | None = None

    @property
    def project(self) -> str | None:
        """The project of the server; None: the default one."""
        return self.spec.get("project")


def spec_of(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields of a spec that were given; None and empty mappings are left out."""
    spec = {}
    for name, value in fields.items():
        kept = value
        if name == "resources":
            kept = {key: each for key, each in value.items() if each is not None}
        if kept is not None and kept != {}:
            spec[name] = kept
    return spec


def train(connection: Connection, training: Training) -> Operation[JobView]:
    """Send what the server lacks, and submit the job."""
    model, task = yield from model_of(connection, training)
    dataset = yield from dataset_of(connection, training, task)
    spec = {**training.spec, "dataset": dataset, "model": model}
    job = yield from submit_job(connection, spec, training.idempotency_key)
    return job


def dataset_of(connection: Connection, training: Training, task: str | None) -> Operation[str]:
    """Return the reference of the dataset for a spec; one of this machine is sent first."""
    data = training.data
    if isinstance(data, DatasetView):
        return data.version
    path = Path(data).expanduser()
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise TrainyardError(f"There is no {data} on this machine.")
        return str(data)
    push = Push(
        path,
        project=training.project,
        layout_task=task,
        task=None if task in UNSAID else task,
        on_progress=training.on_progress,
    )
    name = yield from _name_for_task(connection, push.dataset_name, training.project, task)
    view = yield from push_dataset(connection, replace(push, name=name))
    return view.version


def _name_for_task(
    connection: Connection, name: str, project: str | None, task: str | None
) -> Operation[str]:
    """Return the name of the folder, or the name with the task if a dataset of another has it.

    Many folders are called `data`, and all versions of a dataset have one task.
    """
    rows = yield from datasets_named(connection, name, project)
    present = {row.task for row in rows if row.task is not None}
    fits = not present or task is None or task in present
    return name if fits or (task == "detect" and "segment" in present) else f"{name}-{task}"


def model_of(connection: Connection, training: Training) -> Operation[tuple[str, str | None]]:
    """Return the model for a spec and its task; weights of this machine are sent first.

    A file in the working directory counts before a model of the server, as for `yolo`. Weights that
    neither has are looked for in the folder of Ultralytics.
    """
    named = str(training.model)
    task = training.spec.get("task") or task_of_name(named)
    if not named.endswith(".pt"):
        return named, task
    path = Path(named).expanduser()
    if not path.is_file():
        if len(path.parts) > 1:
            raise TrainyardError(f"There is no {named} on this machine.")
        elsewhere = _weights_of_ultralytics(named)
        try:
            view = yield from read_model(connection, named)
        except NotFoundError:
            if elsewhere is None:
                raise TrainyardError(_no_weights(named)) from None
            path = elsewhere
        else:
            return named, view.task or task
    view = yield from push_model(connection, ModelPush(path, project=training.project))
    return view.id or view.name, training.spec.get("task") or view.task or task


def task_of_name(model: str) -> str:
    """Return the task that the name of a model says, such as `yolo26n-seg.pt`."""
    stem = Path(model).name.rpartition(".")[0]
    return TASKS.get(stem.rpartition("-")[2], "detect")


def _weights_of_ultralytics(name: str) -> Path | None:
    folder = settings_folder("weights_dir")
    path = None if folder is None else folder / name
    return path if path is not None and path.is_file() else None


def _no_weights(name: str) -> str:
    return (
        f"The weights {name} are neither in this folder nor on the server. Put the file here, or"
        f" let the server's operator add it: trainyard models add --official {name}. To train from"
        f" scratch, use {name.removesuffix('.pt')}.yaml."
    )
