"""Weights, from `trainyard models add` to the inspection by a running worker."""

import subprocess
from pathlib import Path

import pytest
import torch

from tests.ultralytics_models import a_detection_model
from tests.worlds.server import COMMAND, Server

INSPECTED_SECONDS = 120

pytestmark = pytest.mark.integration


def test_weights_that_are_added_are_inspected_by_the_worker_that_runs(
    server: Server, tmp_path: Path
) -> None:
    weights = tmp_path / "added.pt"
    torch.save({"model": a_detection_model(classes=2)}, weights)
    wait = ["--wait", str(INSPECTED_SECONDS)]
    add = [str(COMMAND), "models", "add", str(weights), "--home", str(server.home), *wait]

    done = subprocess.run(add, capture_output=True, text=True, timeout=200, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    model = server.get("/v1/models/added.pt")
    assert (model["state"], model["task"]) == ("ready", "detect")
    assert (model["architecture"], model["classes"]) == ("yolo26n.yaml", ["0", "1"])
