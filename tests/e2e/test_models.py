"""Weights from `trainyard models add` to what a running worker finds in them."""

import subprocess
from pathlib import Path

import pytest
import torch
from ultralytics.nn.tasks import DetectionModel

from tests.e2e.yard import COMMAND, Yard

INSPECTED_SECONDS = 120

pytestmark = pytest.mark.integration


def test_weights_that_are_added_are_inspected_by_the_worker_that_runs(
    yard: Yard, tmp_path: Path
) -> None:
    weights = tmp_path / "added.pt"
    torch.save({"model": DetectionModel("yolo26n.yaml", nc=2, verbose=False)}, weights)  # type: ignore[no-untyped-call]
    add = [COMMAND, "models", "add", weights, "--home", yard.home, "--wait", str(INSPECTED_SECONDS)]

    done = subprocess.run(add, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    model = yard.get("/v1/models/added.pt")
    assert (model["state"], model["task"]) == ("ready", "detect")
    assert (model["architecture"], model["classes"]) == ("yolo26n.yaml", ["0", "1"])
