"""`train`, `plan` and `submit`: from words as `yolo` takes them to a job."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from trainyard.client import Client
from trainyard.command import local_server
from trainyard.command.datasets import tell_layout
from trainyard.command.progress import shown_progress
from trainyard.command.shared import AsJson, Url, opened
from trainyard.command.text import duration, put, put_json, say
from trainyard.command.watching import show_until_end
from trainyard.command.words import Words, merge, read_job_file
from trainyard.errors import ConfigurationError
from trainyard.job import Job
from trainyard.operations import training
from trainyard.operations.pushes import OnProgress
from trainyard.operations.runs import fetch_run
from trainyard.operations.yolo_words import translate
from trainyard.run_folder import WEIGHTS, make_run_folder
from trainyard.views.jobs import ForecastView, ValidatedJobView

WordList = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="As for `yolo`, and customizations as freeze.epochs=5."
    ),
]
JobFile = Annotated[
    Path | None, typer.Option("-f", "--file", help="A job as JSON, TOML or YAML; words change it.")
]
Up = Annotated[bool, typer.Option("--up", help="Start a server on this machine if none is known.")]


def train(
    words: WordList = None,
    *,
    file: JobFile = None,
    up: Up = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train as `yolo train` does: trainyard train data=data.yaml model=yolo26n.pt epochs=9.

    Sends what the server lacks, shows the job, and puts its results where `yolo` puts them. Ctrl-C
    leaves; the job goes on. The exit status is 3 if the job failed, and 7 if it was cancelled.
    """
    written = _read(words, file)
    if up:
        local_server.start()
    with opened(url) as client:
        wanted = Wanted.of(client, written, file)
        job = _submitted(client, wanted)
        say(f"{job.id}  {job.url}")
        show_until_end(job, sys.stderr)
        folder = make_run_folder(written.place(), job.view.task)
        own = {"model": wanted.model, "data": wanted.data, **written.of_folder()}
        paths = client.run(fetch_run(client.connection, job.id, folder, own))
        job.wait(timeout=60)
    if as_json:
        put_json({"job": job.id, "folder": str(folder), "files": [str(path) for path in paths]})
    else:
        say(f"Results are in {folder}")
        put(str(folder / WEIGHTS / "best.pt"))


def plan(
    words: WordList = None, *, file: JobFile = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Show what a training would do. Data and weights of this machine are sent first."""
    written = _read(words, file)
    with opened(url) as client:
        wanted = Wanted.of(client, written, file)
        with shown_progress() as on_progress:
            view = client.jobs.plan(client.run(_spec(client, wanted.training(on_progress))))
    if as_json:
        put_json(view)
    else:
        _print_plan(view)


def submit(
    words: WordList = None,
    *,
    file: JobFile = None,
    up: Up = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job as `train` does, and print its id at once."""
    written = _read(words, file)
    if up:
        local_server.start()
    with opened(url) as client:
        job = _submitted(client, Wanted.of(client, written, file))
    if as_json:
        put_json(job.view)
    else:
        say(job.url)
        put(job.id)


class Wanted:
    """The training that a person wants.

    Args:
        data: a dataset of this machine or of the server.
        model: weights of this machine, or a model of the server.
        spec: the other fields of the spec.
    """

    def __init__(self, data: str, model: str, spec: Mapping[str, Any]) -> None:
        self.data = data
        self.model = model
        self.spec = spec

    @classmethod
    def of(cls, client: Client, written: Words, file: Path | None) -> "Wanted":
        """Put together a job file and the words, which the server translates.

        Raises:
            typer.BadParameter: data or model is missing, or a word has no meaning here.
        """
        spec = {} if file is None else read_job_file(file)
        data = written.here.get("data") or spec.pop("data", None) or spec.get("dataset")
        model = written.here.get("model") or spec.get("model")
        if not data or not model:
            missing = [name for name, value in (("data", data), ("model", model)) if not value]
            raise typer.BadParameter(f"name the {' and the '.join(missing)}, as data=data.yaml")
        spec = merge(spec, _translated(client, written, str(model)))
        if written.customize:
            spec = merge(spec, {"customize": written.customize})
        kept = {name: each for name, each in spec.items() if name not in {"dataset", "model"}}
        return cls(str(data), str(model), kept)

    @property
    def task(self) -> str:
        """The task of the training, as far as it is known here."""
        return str(self.spec.get("task") or training.task_of_name(self.model))

    def training(self, on_progress: OnProgress) -> training.Training:
        """Return it as the client takes it."""
        return training.Training(self.data, self.model, self.spec, on_progress=on_progress)


def _read(words: list[str] | None, file: Path | None) -> Words:
    if not words and file is None:
        raise typer.BadParameter("write what to train, as data=data.yaml model=yolo26n.pt")
    written = Words.of(words or [])
    written.place()
    return written


def _translated(client: Client, written: Words, model: str) -> dict[str, Any]:
    """Let the server translate Ultralytics' words; those that it refuses are refused here."""
    try:
        found = client.run(translate(client.connection, model, written.theirs))
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None
    for name, because in found.left_out.items():
        say(f"{name}: {because}")
    return found.spec


def _submitted(client: Client, wanted: Wanted) -> Job:
    if Path(wanted.data).expanduser().exists():
        tell_layout(Path(wanted.data).expanduser(), wanted.task)
    with shown_progress() as on_progress:
        operation = training.train(client.connection, wanted.training(on_progress))
        return Job(client, client.run(operation))


def _spec(client: Client, wanted: training.Training) -> Any:  # noqa: ANN401 -- an operation
    model, task = yield from training.model_of(client.connection, wanted)
    dataset = yield from training.dataset_of(client.connection, wanted, task)
    return {**wanted.spec, "dataset": dataset, "model": model}


def _print_plan(view: ValidatedJobView) -> None:
    extent, estimate = view.extent, view.estimate
    put(f"epochs {extent.epochs}, {extent.batches_per_epoch} batches each")
    put(f"images {extent.training_images} to train, {extent.validation_images} to validate")
    put(f"optimizer steps {extent.optimizer_steps}")
    put(f"takes about {duration(estimate.seconds)}")
    put(f"starts {_start_of(view.queue)}")
    for switched in view.switched_on:
        put(f"also {switched.field}: {switched.because}")
    for warning in view.warnings:
        put(f"warning {warning.code}: {warning.message}")


def _start_of(queue: ForecastView) -> str:
    """Return when a job would start, and on which slot, for people."""
    if queue.starts_in_seconds is None:
        return f"at a time that is not known; it would wait for {queue.waits_for.replace('_', ' ')}"
    slot = f" on {queue.slot}" if queue.slot else ""
    return (
        f"in {duration(queue.starts_in_seconds)}{slot}" if queue.starts_in_seconds else f"now{slot}"
    )
