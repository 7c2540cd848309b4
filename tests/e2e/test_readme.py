"""The README's first job and the API's examples, run unchanged against a real Trainyard."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.architecture.sources import ROOT
from tests.docs.blocks import blocks
from tests.worlds.server import Server
from worker.trainer.environment import trainer_environment

pytestmark = pytest.mark.integration

BASH: Final = shutil.which("bash") or "bash"
SCRIPT_SECONDS: Final = 240
START: Final = "make up"
EPOCHS: Final = 2
CHANGES: Final = {
    "http://127.0.0.1:8080": "{url}",
    "~/.trainyard/api-key": "{home}/api-key",
    '"epochs": 40': f'"epochs": {EPOCHS}',
}
"""The texts that a test must replace: the server's address, the key, and the training's length."""

PREAMBLE: Final = "set -euo pipefail"
RESULT: Final = 'printf "\\n%s %s\\n" "$DATASET" "$JOB"'


@dataclass(frozen=True)
class FirstJob:
    """The results of a README's reader: a dataset, a job, and a folder of files."""

    server: Server
    dataset: str
    job: str
    folder: Path

    def status(self) -> dict[str, Any]:
        return self.server.job(self.job)


def script_of(document: str) -> list[str]:
    """Return the blocks of a document that need a server, except the one that starts it."""
    needing = [it.text for it in blocks() if it.document == document and it.needs == "server"]
    return [text for text in needing if not text.startswith(START)]


def changed(script: str, server: Server) -> str:
    """Return the script with the changes that a test needs; each applies exactly once."""
    for old, new in CHANGES.items():
        assert script.count(old) == 1, f"the README says {old!r} no more"
        script = script.replace(old, new.format(url=str(server.client.base_url), home=server.home))
    return script


@pytest.fixture(scope="module")
def first_job(server: Server, tmp_path_factory: pytest.TempPathFactory) -> FirstJob:
    folder = tmp_path_factory.mktemp("readme")
    for name in (".venv", "examples"):
        (folder / name).symlink_to(ROOT / name)
    upload_to_logs, download = script_of("README.md")
    readme = changed(upload_to_logs, server)
    others = ("docs/api.md", "docs/datasets.md", "docs/operations.md")
    more = [text for document in others for text in script_of(document)]
    done = subprocess.run(
        [BASH, "-c", "\n".join([PREAMBLE, readme, download, *more, RESULT])],
        cwd=folder,
        env={**os.environ, "TRAINYARD_HOME": str(server.home)},
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    dataset, job = done.stdout.split()[-2:]
    return FirstJob(server, dataset, job, folder)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's reader has curl")
class TestReadme:
    def test_the_block_that_starts_the_server_does_so_with_make(self) -> None:
        texts = [it.text for it in blocks() if it.needs == "server" and START in it.text]

        assert [re.sub(r"\s*#.*", "", text).strip() for text in texts] == [START]

    def test_the_first_job_succeeds(self, first_job: FirstJob) -> None:
        status = first_job.status()

        assert status["state"] == "succeeded", first_job.server.log(first_job.job)
        assert first_job.server.get(f"/v1/jobs/{first_job.job}/metrics")["epochs"] == [1, EPOCHS]

    def test_the_dataset_is_what_the_readme_says(self, first_job: FirstJob) -> None:
        dataset = first_job.server.get(f"/v1/datasets/{first_job.dataset}")

        assert dataset["images"] == {"train": 60, "val": 20}
        assert len(dataset["classes"]) == 3

    def test_the_downloaded_weights_are_the_jobs_and_load(self, first_job: FirstJob) -> None:
        best = first_job.folder / "best.pt"

        listed = first_job.server.get(f"/v1/jobs/{first_job.job}/artifacts")["data"]
        names = subprocess.run(
            [sys.executable, "-c", LOAD, best],
            cwd=first_job.folder,
            env=trainer_environment(first_job.folder, gpu=None, base=os.environ),
            capture_output=True,
            text=True,
            check=True,
        )

        assert best.stat().st_size == next(
            it["size_bytes"] for it in listed if it["name"] == "best.pt"
        )
        assert json.loads(names.stdout.splitlines()[-1]) == ["circle", "square", "triangle"]

    def test_the_examples_of_the_api_changed_the_job(self, first_job: FirstJob) -> None:
        status = first_job.status()

        assert (status["tags"], status["revision"]) == ({"line": "4"}, 3)
        assert (first_job.folder / "part").stat().st_size == 100

    def test_the_first_job_shows_its_final_validation(self, first_job: FirstJob) -> None:
        path = f"/v1/jobs/{first_job.job}"

        curves = first_job.server.get(f"{path}/curves")
        worst = first_job.server.get(f"{path}/images/worst")
        artifacts = first_job.server.get(f"{path}/artifacts")["data"]

        names = ["circle", "square", "triangle"]
        assert list(curves["pr"]["classes"]) == names
        assert curves["confusion"]["names"] == [*names, "background"]
        assert worst["images_total"] == 20
        assert all(image["preview"] for image in worst["data"])
        plots = {it["name"] for it in artifacts if it["kind"] == "plot"}
        assert {it["name"] for it in artifacts if it["preview"]} == plots
        for name in ("worst.jpg", "plot.jpg"):
            assert (first_job.folder / name).read_bytes().startswith(b"\xff\xd8\xff")

    def test_the_provenance_names_the_weights_and_the_libraries_that_made_them(
        self, first_job: FirstJob
    ) -> None:
        path = f"/v1/jobs/{first_job.job}/artifacts"
        listed = first_job.server.get(path)["data"]
        (checks,) = [it["checks"] for it in listed if it["name"] == "best.pt"]

        found = first_job.server.get(f"{path}/provenance.json")

        (attempt,) = found["attempts"]
        assert attempt["environment"]["ultralytics"] == checks["ultralytics"]
        assert attempt["environment"]["device"] == "cpu"
        digest = hashlib.sha256((first_job.folder / "best.pt").read_bytes()).hexdigest()
        assert digest in {it["sha256"] for it in found["files"] if it["name"] == "best.pt"}

    def test_the_examples_of_large_uploads_sent_the_archive_and_made_a_dataset(
        self, first_job: FirstJob
    ) -> None:
        uploads = first_job.server.get("/v1/uploads")["data"]
        datasets = first_job.server.get("/v1/datasets", name="large")["data"]

        digest = hashlib.sha256((first_job.folder / "shapes.zip").read_bytes()).hexdigest()
        assert [it["sha256"] for it in uploads].count(digest) == 2  # other tests use this server
        assert len(datasets) == 1


LOAD: Final = """
import json, sys
from ultralytics import YOLO
print(json.dumps(list(YOLO(sys.argv[1]).names.values())))
"""
