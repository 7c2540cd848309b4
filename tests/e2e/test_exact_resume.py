"""A job whose worker is killed repeatedly has the same results as an uninterrupted job."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.builders import a_detect_zip
from tests.e2e.conftest import Plain
from tests.e2e.killing import a_chance, assert_equal_jobs, kill_worker
from tests.worlds.server import TRAIN_IMAGES, VAL_IMAGES, Server, trainyard_up

EPOCHS, KILLS = 6, 3
JOB_SECONDS = 300.0
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

SPEC: dict[str, Any] = {
    "train": {"epochs": EPOCHS, "close_mosaic": 2, "mixup": 0.3, "batch": 2, "nbs": 4},
    "customize": {
        "metrics": {"f1": True, "per_class": True},
        "class_weights": {"mode": "inverse_frequency", "cap": 10},
        "best_model": {"metric": "metrics/mAP50(B)"},
        "keep_best": [{"name": "recalling", "metric": "metrics/recall(B)"}],
        "freeze": {"layers": "backbone", "epochs": 2},
        "layer_lrs": [{"layers": "backbone", "factor": 0.1}],
    },
}
"""Two batches of 2 make a step and an epoch has nine, so gradients cross the end of an epoch."""


@pytest.fixture(params=["sqlite", "postgresql", "sqlite, cold"])
def fresh_yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Run a server whose trainers write a training state after every epoch, on either database."""
    is_cold = request.param.endswith("cold")
    warm = {"TRAINYARD_WORKER__WARM": "never" if is_cold else "always"}
    environment = {"TRAINYARD_STATE_EVERY": "1", **warm}
    if request.param == "postgresql":
        environment["TRAINYARD_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    with trainyard_up(tmp_path / "home", environment) as server:
        yield server


def test_a_job_whose_worker_is_killed_three_times_ends_as_its_twin(
    fresh_yard: Server, plain: Plain, tmp_path: Path
) -> None:
    archive = a_detect_zip(tmp_path / "shapes.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
    dataset, chance = fresh_yard.upload(archive, name="shapes"), a_chance()
    twin = fresh_yard.submit(dataset, **SPEC)
    fresh_yard.succeed(twin, within=JOB_SECONDS)
    job_id = fresh_yard.submit(dataset, **SPEC)

    after = sorted(chance.sample(range(1, EPOCHS), KILLS))
    kill_worker(fresh_yard, job_id, after=after, chance=chance)
    fresh_yard.succeed(job_id, within=JOB_SECONDS)

    attempts = fresh_yard.get(f"/v1/jobs/{job_id}/attempts")["data"]
    events = fresh_yard.get(f"/v1/jobs/{job_id}/events", limit=200)["data"]
    assert [each["data"] for each in events if each["type"] == "resume.plain"] == []
    assert len(attempts) == 1 + KILLS
    # An attempt that is killed before its trainer starts does not resume, hence "none".
    assert {each["resumed"] for each in attempts[1:-1]} <= {"none", "exact"}
    assert attempts[-1]["resumed"] == "exact"
    assert_equal_jobs(fresh_yard, plain, (job_id, twin), tmp_path)
