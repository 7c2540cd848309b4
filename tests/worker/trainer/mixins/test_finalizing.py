"""The events and files of a successful job."""

import csv
import io
import os
import socket
import subprocess
import zipfile
from pathlib import Path

import torch
import yaml

from tests.worker.trainer.jobs import THREADS, TrainerProcess
from tests.worker.trainer.watching import what_was_seen
from worker.trainer.environment import trainer_environment
from worker.trainer.weights.portability import portability_check


class TestEvents:
    def test_events_of_a_trainer_are_numbered_without_a_gap_from_one(
        self, finished: TrainerProcess
    ) -> None:
        numbers = [event.seq for event in finished.events]

        assert numbers == list(range(1, len(numbers) + 1))

    def test_phases_come_in_the_order_of_the_work(self, finished: TrainerProcess) -> None:
        phases = [event.phase for event in finished.of("phase")]

        an_epoch = ["validating", "training"]
        assert phases == ["preparing", "training", *an_epoch, *an_epoch, "finalizing"]

    def test_the_start_tells_threads_and_sizes_as_seen_from_inside(
        self, finished: TrainerProcess
    ) -> None:
        (event,) = finished.of("started")

        assert (event.threads, event.device_name, event.optimizer) == (THREADS, "cpu", "SGD")
        assert (event.batches_per_epoch, event.train_images, event.val_images) == (5, 18, 8)
        assert (event.first_epoch, event.epochs) == (1, 2)

    def test_each_epoch_comes_once_and_before_its_checkpoint(
        self, finished: TrainerProcess
    ) -> None:
        told = [(e.type, e.epoch) for e in finished.events if e.type in {"epoch", "checkpoint"}]

        assert told == [("epoch", 1), ("checkpoint", 1), ("epoch", 2), ("checkpoint", 2)]

    def test_metrics_are_the_columns_of_results_csv(self, finished: TrainerProcess) -> None:
        with (run_directory(finished) / "results.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))

        told = [event.metrics for event in finished.of("epoch")]

        columns = [
            {k: float(v) for k, v in row.items() if k not in {"epoch", "time"}} for row in rows
        ]
        assert told == columns

    def test_the_final_event_names_what_is_to_be_kept(self, finished: TrainerProcess) -> None:
        (event,) = finished.of("final")

        kinds = {each.name: each.kind for each in event.artifacts}
        assert {"best.pt": "weights", "last.pt": "weights"}.items() <= kinds.items()
        assert {"results.csv": "table", "args.yaml": "config"}.items() <= kinds.items()
        assert {"results.png": "plot", "labels.jpg": "plot"}.items() <= kinds.items()
        assert all((run_directory(finished) / each.path).is_file() for each in event.artifacts)
        assert event.epochs_done == 2

    def test_the_best_epoch_is_that_of_best_pt(self, finished: TrainerProcess) -> None:
        (event,) = finished.of("final")
        last_handed_over = max(
            each.epoch for each in finished.of("checkpoint") if each.files["best.pt"]
        )

        assert event.best_epoch == last_handed_over


class TestCheckpoints:
    def test_a_checkpoint_can_still_be_resumed_after_finalizing(
        self, finished: TrainerProcess
    ) -> None:
        for event in finished.of("checkpoint"):
            checkpoint = torch.load(
                run_directory(finished) / event.files["last.pt"], weights_only=False
            )

            assert checkpoint["epoch"] + 1 == event.epoch
            assert checkpoint["optimizer"] is not None

    def test_results_csv_of_a_checkpoint_ends_with_its_epoch(
        self, finished: TrainerProcess
    ) -> None:
        for event in finished.of("checkpoint"):
            lines = (run_directory(finished) / event.files["results.csv"]).read_text().splitlines()

            assert lines[-1].split(",")[0] == str(event.epoch)


class TestPrivacy:
    def test_no_weights_name_a_path_the_host_or_a_repository(
        self, finished: TrainerProcess
    ) -> None:
        files = [
            *run_directory(finished).rglob("*.pt"),
            run_directory(finished) / "final/args.yaml",
        ]

        said = {file.name: file for file in files if private_words_in(content(file))}

        assert len(files) >= 7
        assert said == {}

    def test_the_arguments_name_data_and_model_as_people_know_them(
        self, finished: TrainerProcess
    ) -> None:
        text = (run_directory(finished) / "final" / "args.yaml").read_text(encoding="utf-8")

        arguments = yaml.safe_load(text)

        assert (arguments["data"], arguments["model"]) == ("data.yaml", "yolo26n.yaml")
        assert arguments["nbs"] == 4

    def test_nothing_was_looked_up_connected_to_or_reported(self, finished: TrainerProcess) -> None:
        assert what_was_seen(finished.directory) == []


class TestPortability:
    def test_best_pt_loads_in_a_process_that_cannot_import_trainyard(
        self, finished: TrainerProcess, tmp_path: Path
    ) -> None:
        environment = trainer_environment(tmp_path, gpu=None, base=os.environ)
        best = run_directory(finished) / "final" / "best.pt"
        check = portability_check([best], environment, tmp_path / "verdict.json")

        done = subprocess.run(
            check.argv, env=check.env, cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr
        proven = check.verdict().checks["best.pt"]
        assert (proven.task, proven.classes, proven.safe_load) == ("detect", 3, True)


def run_directory(process: TrainerProcess) -> Path:
    return process.directory / "run"


def content(file: Path) -> bytes:
    """Return the bytes of a file, or the pickle in a checkpoint."""
    if file.suffix != ".pt":
        return file.read_bytes()
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        return b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".pkl"))


def private_words_in(text: bytes) -> list[str]:
    repository = Path(__file__).parents[4]
    words = [str(Path.home()), str(repository), "/tmp", socket.gethostname(), "github.com:"]  # noqa: S108 - words that must not appear
    return [word for word in words if len(word) > 3 and word.encode() in text]
