"""The same arguments and seed give bit-equal runs in Trainyard and in plain Ultralytics."""

import zipfile
from pathlib import Path

import pytest

from tests.datasets import builders
from tests.e2e.conftest import Plain
from tests.e2e.equal_runs import plain_arguments, rows_of
from tests.worlds.server import MODELS, TRAIN_IMAGES, VAL_IMAGES, Server

JOB_SECONDS = 240.0
STEPS_AN_EPOCH = 5
pytestmark = [pytest.mark.integration, pytest.mark.slow]


class TestEqualRuns:
    @pytest.mark.parametrize("task", builders.ZIPS)
    def test_results_and_weights_are_those_of_plain_ultralytics(
        self, task: str, server: Server, plain: Plain, tmp_path: Path
    ) -> None:
        archive = builders.ZIPS[task](tmp_path / "set.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
        folder, save_dir = tmp_path / "folder", tmp_path / "run"
        with zipfile.ZipFile(archive) as members:
            members.extractall(folder)

        dataset = server.upload(archive, name=f"parity of {task}", task=task)
        job_id = server.submit(dataset, model=MODELS[task])
        plain("train", {"task": task, "overrides": plain_arguments(task, folder, save_dir)})
        server.succeed(job_id, within=JOB_SECONDS)

        ours = server.download(job_id, "best.pt", tmp_path)
        theirs = save_dir / "weights" / "best.pt"
        digests = plain("digests", {"weights": [str(ours), str(theirs)]})
        results = server.download(job_id, "results.csv", tmp_path)
        assert rows_of(results) == rows_of(save_dir / "results.csv")
        assert digests[str(ours)] == digests[str(theirs)]
        assert fewest_steps(server, job_id) >= STEPS_AN_EPOCH - 1
        worst = server.get(f"/v1/jobs/{job_id}/images/worst")
        assert worst["images_total"] == VAL_IMAGES
        assert all(image["preview"] for image in worst["data"])
        assert all(image["width"] for image in worst["data"])

    @pytest.mark.slow  # tests/worker/trainer/test_parity.py tests it without HTTP
    def test_another_seed_makes_another_run(
        self, server: Server, plain: Plain, tmp_path: Path
    ) -> None:
        archive = builders.a_detect_zip(tmp_path / "set.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
        dataset = server.upload(archive, name="parity of detect", task="detect")

        runs = [server.submit(dataset), server.submit(dataset, train={"seed": 1})]
        files = []
        for number, job_id in enumerate(runs):
            server.succeed(job_id, within=JOB_SECONDS)
            (tmp_path / str(number)).mkdir()
            files.append(server.download(job_id, "best.pt", tmp_path / str(number)))

        digests = plain("digests", {"weights": [str(path) for path in files]})
        first, second = (digests[str(path)] for path in files)
        assert first.keys() == second.keys()
        assert first != second


def fewest_steps(server: Server, job_id: str) -> int:
    """Return the number of optimizer steps of the epoch that had fewest."""
    events = server.get(f"/v1/jobs/{job_id}/events", limit=200)["data"]
    finished = [each["data"] for each in events if each["type"] == "epoch.finished"]
    return min(int(each["optimizer_steps"]) for each in finished)
