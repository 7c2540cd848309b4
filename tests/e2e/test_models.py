"""Weights, from `trainyard models add` to the inspection by a running worker."""

import hashlib
import subprocess
from pathlib import Path

import pytest
import torch

from tests.datasets.builders import a_detect_zip
from tests.ultralytics_models import a_detection_model
from tests.waiting import eventually
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


def test_weights_that_a_user_sends_are_inspected_and_a_job_can_start_from_them(
    server: Server, tmp_path: Path
) -> None:
    archive = a_detect_zip(tmp_path / "shapes.zip", train=2, val=1)
    dataset = server.upload(archive, name="for sent weights", task="detect")
    weights = tmp_path / "sent.pt"
    torch.save({"model": a_detection_model(classes=3)}, weights)
    content = weights.read_bytes()
    query = {"name": "sent.pt", "sha256": hashlib.sha256(content).hexdigest()}

    sent = server.client.post("/v1/models", params=query, content=content).json()

    path = f"/v1/models/{sent['id']}"
    eventually(lambda: server.get(path)["state"] != "inspecting", within=INSPECTED_SECONDS)
    assert (server.get(path)["state"], server.get(path)["task"]) == ("ready", "detect")
    spec = {"dataset": dataset, "model": sent["id"], "train": {"epochs": 1}}
    assert server.client.post("/v1/jobs/validate", json=spec).status_code == 200
