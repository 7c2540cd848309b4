"""The proof of weights: files that pass, files that fail, and the report of each."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ultralytics.models import YOLO

from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from tests.worker.trainer.jobs import ARCHITECTURES
from worker.trainer.environment import trainer_environment
from worker.trainer.weights.portability import PortabilityCheck, portability_check
from worker.trainer.weights.stock_proof import NotSound, prove

CLASSES_OF_YAML: dict[Task, int] = {
    "detect": 80,
    "segment": 80,
    "pose": 80,
    "obb": 80,
    "classify": 1000,
    "semantic": 19,
    "depth": 1,
}


def untrained(file: Path, task: Task = "detect") -> Path:
    """Write a new Ultralytics model in half precision, like published weights."""
    YOLO(ARCHITECTURES[task]).save(file)
    return file


def changed(file: Path, change: Callable[[Any], None]) -> Path:
    """Change the model in a file and return the file."""
    checkpoint = torch.load(file, weights_only=False)
    change(checkpoint["model"])
    torch.save(checkpoint, file)
    return file


def fill(model: Any, value: float) -> None:  # noqa: ANN401
    with torch.no_grad():
        next(model.parameters()).fill_(value)


def overflow(model: Any) -> None:  # noqa: ANN401
    """Set finite weights whose output for an image is not finite."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(60_000.0)


def run(check: PortabilityCheck, folder: Path) -> int:
    done = subprocess.run(check.argv, env=check.env, cwd=folder, capture_output=True, check=False)
    return done.returncode


class TestProve:
    @pytest.mark.parametrize("task", CLASSES_OF_YAML)
    def test_a_model_of_each_task_passes(self, task: Task, tmp_path: Path) -> None:
        checks = prove(untrained(tmp_path / "best.pt", task))

        assert (checks["loads"], checks["forward"], checks["task"]) == (True, True, task)
        assert checks["classes"] == CLASSES_OF_YAML[task]

    def test_parameters_are_counted_all(self, tmp_path: Path) -> None:
        file = untrained(tmp_path / "best.pt")
        model = torch.load(file, weights_only=False)["model"]

        checks = prove(file)

        assert checks["parameters"] == sum(each.numel() for each in model.parameters())

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers_do_not(self, value: float, tmp_path: Path) -> None:
        file = changed(untrained(tmp_path / "best.pt"), lambda model: fill(model, value))

        with pytest.raises(NotSound, match="weight"):
            prove(file)

    def test_weights_that_compute_nothing_do_not(self, tmp_path: Path) -> None:
        file = changed(untrained(tmp_path / "best.pt"), overflow)

        with pytest.raises(NotSound, match="output"):
            prove(file)


class TestPortabilityCheck:
    @pytest.mark.slow
    def test_the_portability_check_names_the_file_that_fails_and_passes_those_before(
        self, tmp_path: Path
    ) -> None:
        good = untrained(tmp_path / "best.pt")
        bad = tmp_path / "best_recall.pt"
        torch.save({"model": FromHere()}, bad)
        environment = trainer_environment(tmp_path, gpu=None, base=os.environ)
        check = portability_check([good, bad], environment, tmp_path / "verdict.json")

        code = run(check, tmp_path)

        verdict = check.verdict()
        assert code == EndReason.NOT_PORTABLE.exit_code
        assert (list(verdict.checks), str(verdict.failure).partition(":")[0]) == (
            ["best.pt"],
            "best_recall.pt",
        )
        assert verdict.checks["best.pt"].safe_load

    def test_a_process_that_said_nothing_has_proven_nothing(self, tmp_path: Path) -> None:
        check = portability_check([], {}, tmp_path / "verdict.json")

        assert check.verdict().checks == {}

    def test_a_verdict_that_was_cut_off_has_proven_nothing(self, tmp_path: Path) -> None:
        check = portability_check([], {}, tmp_path / "verdict.json")
        check.verdict_file.write_text(json.dumps({"checks": {}})[:-1])

        assert check.verdict().failure is None


class FromHere(torch.nn.Module):
    """A module class that exists only in these tests."""
