"""`YOLO` with one import changed: it trains on the server, and leaves the files of a run here."""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from trainyard.client import Client
from trainyard.errors import JobFailed
from trainyard.job import Job
from trainyard.operations.runs import fetch_run
from trainyard.operations.training import Training, dataset_of, model_of
from trainyard.operations.yolo_words import translate
from trainyard.run_folder import RunPlace, make_run_folder


@dataclass(frozen=True)
class Run:
    """A training that has ended.

    Args:
        save_dir: the folder of the run, as `yolo` makes it.
        job: on the server.
        results_dict: the metrics of the epoch whose weights `best.pt` has.
    """

    save_dir: Path
    job: Job
    results_dict: dict[str, float | None]

    @property
    def best(self) -> Path:
        """The best weights."""
        return self.save_dir / "weights" / "best.pt"

    @property
    def last(self) -> Path:
        """The weights of the last epoch."""
        return self.save_dir / "weights" / "last.pt"


class YOLO:
    """A model to train on the server.

    Args:
        model: a `.pt` file of this machine, or a model of the server, such as `yolo26n.yaml`.
        task: None: that of the model.
        client: the connection to use; None: as `Client()` finds it.
    """

    def __init__(
        self,
        model: str | Path = "yolo26n.pt",
        task: str | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        self.model = str(model) if Path(model).suffix else f"{model}.pt"
        self.task = task
        self.run: Run | None = None
        self._client = client

    def train(
        self,
        data: str | Path,
        *,
        customize: Mapping[str, Any] | None = None,
        progress: bool = True,
        **arguments: Any,  # noqa: ANN401
    ) -> Run:
        """Train, and return when the run's folder is complete.

        Ctrl-C leaves the job on the server; `job.stop()` or the page of the job end it.

        Args:
            data: a data.yaml or a folder of this machine, or a dataset of the server.
            customize: customizations of the service, which stock Ultralytics does not have.
            progress: whether to show how far it is.
            arguments: of `YOLO.train` of Ultralytics. `project`, `name` and `exist_ok` choose the
                folder.

        Raises:
            ConfigurationError: an argument cannot be used on the server; the message says what
                takes its place.
            JobFailed: the job failed; the folder has what there is.
        """
        client = self._client or Client()
        training = Training(data, self.model, self._own_spec(arguments))
        translated = client.run(translate(client.connection, self.model, arguments))
        for name, because in translated.left_out.items():
            warnings.warn(f"{name}: {because}", stacklevel=2)
        model, task = client.run(model_of(client.connection, training))
        dataset = client.run(dataset_of(client.connection, training, task))
        spec = {**translated.spec, **training.spec, "dataset": dataset, "model": model}
        if customize is not None:
            spec["customize"] = {**spec.get("customize", {}), **customize}
        job = client.jobs.submit(spec)
        place = RunPlace(
            arguments.get("project"), arguments.get("name"), bool(arguments.get("exist_ok"))
        )
        folder = make_run_folder(place, job.view.task)
        own = {
            "model": self.model,
            "data": str(data),
            "project": arguments.get("project"),
            "exist_ok": place.exist_ok,
        }
        self.run = _finished(client, job, folder, own, progress=progress)
        return self.run

    def _own_spec(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        task = arguments.get("task") or self.task
        return {} if task is None else {"task": task}

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"trainyard.YOLO trains only. For {name!r}, load the weights with Ultralytics:"
            " ultralytics.YOLO(model.run.best)."
        )


def _finished(
    client: Client, job: Job, folder: Path, own: Mapping[str, Any], *, progress: bool
) -> Run:
    """Wait for a job and fetch its files, also those of one that failed."""
    if progress:
        sys.stdout.write(f"{job.url}\n")
        job.watch()
    failure: JobFailed | None = None
    try:
        job.wait()
    except JobFailed as error:
        failure = error
    client.run(fetch_run(client.connection, job.id, folder, own))
    if failure is not None:
        raise failure
    best = job.view.best
    return Run(folder, job, dict(best.at or {}) if best is not None else {})
