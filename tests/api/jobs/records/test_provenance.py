"""`provenance.json`: the digests, versions and machines behind the results of an ended job."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from app.jobs.end_reasons import EndReason
from app.jobs.states import JobEvent, JobState
from tests.web.jobs.trained_jobs import ENVIRONMENT, Training, a_succeeded_job, a_training
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]


@pytest.fixture
def ended(api: Api, tmp_path: Path) -> Training:
    """A job that succeeded in its second attempt."""
    return a_succeeded_job(api, tmp_path)


def provenance_of(training: Training) -> dict[str, Any]:
    answer = training.api.client.get(f"/v1{training.path}/artifacts/provenance.json")
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_the_provenance_names_the_digest_of_every_other_file(ended: Training) -> None:
    listed = ended.api.client.get(f"/v1{ended.path}/artifacts").json()["data"]

    found = provenance_of(ended)

    digests = {file["name"]: file["sha256"] for file in found["files"]}
    digests |= {"spec.json": found["spec_sha256"], "plan.json": found["plan_sha256"]}
    others = {each["name"]: each["sha256"] for each in listed if each["name"] != "provenance.json"}
    assert digests == others
    assert digests["best.pt"] == hashlib.sha256(b"best").hexdigest()


def test_the_provenance_names_the_dataset_by_its_digests(ended: Training) -> None:
    status = ended.api.client.get(f"/v1{ended.path}").json()

    dataset = provenance_of(ended)["dataset"]

    assert dataset["id"] == status["dataset"]
    assert dataset["version"] == 1
    assert len(dataset["manifest_sha256"]) == len(dataset["archive_sha256"]) == 64


def test_each_attempt_has_its_machine_and_the_versions_of_its_libraries(ended: Training) -> None:
    first, second = provenance_of(ended)["attempts"]

    assert (first["number"], first["resumed"], first["last_epoch"]) == (1, "none", 3)
    assert (second["number"], second["resumed"], second["resumed_from"]) == (2, "exact", 2)
    assert first["environment"] == second["environment"] == ENVIRONMENT
    assert first["device_name"] == "cpu"


def test_an_environment_that_no_trainer_reported_is_null(api: Api, tmp_path: Path) -> None:
    training = a_training(api, tmp_path)
    training.end(JobEvent.FAIL, EndReason.DIVERGED, message="It did not start.")

    (attempt,) = provenance_of(training)["attempts"]

    assert (attempt["environment"], attempt["device_name"]) == (None, None)
    assert provenance_of(training)["state"] == JobState.FAILED


def test_a_running_job_has_no_provenance(api: Api, tmp_path: Path) -> None:
    training = a_training(api, tmp_path)
    training.start()

    listed = api.client.get(f"/v1{training.path}/artifacts").json()["data"]

    assert "provenance.json" not in {each["name"] for each in listed}
    assert api.client.get(f"/v1{training.path}/artifacts/provenance.json").status_code == 404


def test_the_provenance_of_a_renamed_job_has_the_same_bytes(ended: Training) -> None:
    client, path = ended.api.client, f"/v1{ended.path}/artifacts/provenance.json"
    before = client.get(path).content

    client.patch(f"/v1{ended.path}", json={"name": "renamed"}).raise_for_status()

    assert client.get(path).content == before
