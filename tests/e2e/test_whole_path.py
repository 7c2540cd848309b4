"""From POST to best.pt through separate processes: server, worker, embedded Valkey."""

import hashlib
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.builders import a_detect_zip
from tests.e2e.conftest import Plain
from tests.e2e.killing import a_chance, assert_equal_jobs, kill_worker
from tests.e2e.series import columns, without_named_rates
from tests.waiting import eventually
from tests.worlds.server import TRAIN_IMAGES, VAL_IMAGES, Server, trainyard_up
from worker.processes.process import living_processes

EPOCHS = 3
JOB_SECONDS = 180.0
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "shapes.zip"
    return a_detect_zip(path, train=TRAIN_IMAGES, val=VAL_IMAGES)


@pytest.fixture(scope="module")
def dataset(server: Server, archive: Path) -> str:
    return server.upload(archive, name="shapes")


@pytest.fixture(scope="module")
def watched(server: Server, dataset: str) -> tuple[str, list[dict[str, Any]]]:
    """Return a finished job and the distinct statuses that polling saw."""
    job_id = server.submit(dataset, train={"epochs": EPOCHS})
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        status = server.job(job_id)
        status["epochs_finished"] = len(server.get(f"/v1/jobs/{job_id}/metrics")["epochs"])
        if not seen or status != seen[-1]:
            seen.append(status)
        return status["state"] in {"succeeded", "failed", "cancelled"}

    eventually(ended, within=JOB_SECONDS)
    assert seen[-1]["state"] == "succeeded", server.log(job_id)
    return job_id, seen


@pytest.mark.slow
class TestFinishedJob:
    def test_epochs_of_a_job_arrive_one_by_one_while_it_runs(
        self, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        _, seen = watched

        running = [each["epochs_finished"] for each in seen if each["state"] == "running"]
        assert set(range(EPOCHS + 1)) <= set(running)
        assert running == sorted(running)

    def test_progress_and_phases_of_a_job_are_shown_while_it_runs(
        self, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        _, seen = watched

        phases = [each["phase"] for each in seen]
        progress = [each["progress"] for each in seen if each["progress"]]
        assert {"preparing", "training", "finalizing"} <= set(phases)
        assert progress[-1]["epoch"] == EPOCHS
        assert any(each["losses"] for each in progress)

    def test_series_of_a_job_are_the_columns_of_its_results_csv(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]], tmp_path: Path
    ) -> None:
        job_id, _ = watched

        metrics = server.get(f"/v1/jobs/{job_id}/metrics")

        assert metrics["epochs"] == list(range(1, EPOCHS + 1))
        assert without_named_rates(metrics["series"]) == columns(
            server.download(job_id, "results.csv", tmp_path)
        )

    def test_events_of_a_finished_job_are_gapless_and_end_with_success(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        events = server.get(f"/v1/jobs/{watched[0]}/events", limit=200)["data"]

        assert [each["seq"] for each in events] == list(range(1, len(events) + 1))
        assert events[0]["type"] == "job.submitted"
        assert events[-1]["type"] == "job.succeeded"

    def test_every_artifact_has_the_bytes_that_its_digest_names(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        artifacts = server.get(f"/v1/jobs/{watched[0]}/artifacts")["data"]

        names = {each["name"] for each in artifacts}
        assert {"best.pt", "last.pt", "results.csv", "args.yaml", "train.log"} <= names
        for each in artifacts:
            answer = server.client.get(each["links"]["download"])
            assert hashlib.sha256(answer.content).hexdigest() == each["sha256"]
            assert answer.headers["ETag"] == f'"{each["sha256"]}"'

    def test_a_download_can_be_resumed(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        path = f"/v1/jobs/{watched[0]}/artifacts/best.pt"
        whole = server.client.get(path)

        head = server.client.head(path)
        rest = server.client.get(
            path, headers={"Range": "bytes=1000-", "If-Range": whole.headers["ETag"]}
        )

        assert int(head.headers["Content-Length"]) == len(whole.content)
        assert (rest.status_code, rest.content) == (206, whole.content[1000:])

    def test_best_pt_loads_where_trainyard_cannot_be_imported(
        self,
        server: Server,
        watched: tuple[str, list[dict[str, Any]]],
        plain: Plain,
        tmp_path: Path,
    ) -> None:
        best = server.download(watched[0], "best.pt", tmp_path)

        loaded = plain("load", {"weights": str(best)})

        assert loaded == {"task": "detect", "names": ["disc", "square", "triangle"]}

    def test_downloaded_files_name_no_path_of_the_server(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]], tmp_path: Path
    ) -> None:
        home = str(server.home).encode()

        for name in ("best.pt", "last.pt", "args.yaml", "results.csv"):
            assert home not in server.download(watched[0], name, tmp_path).read_bytes()

    def test_the_log_of_a_job_is_plain_and_has_the_losses_of_each_epoch(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        log = server.client.get(f"/v1/jobs/{watched[0]}/logs").text

        rows = [line.split() for line in log.splitlines()]
        epochs = [cells[0] for header, cells in pairwise(rows) if "Epoch" in header]
        assert epochs == [f"{epoch}/{EPOCHS}" for epoch in range(1, EPOCHS + 1)]
        for hidden in ("\x1b", "\r", str(server.home), sys.prefix, str(Path.home())):
            assert hidden not in log

    def test_the_log_of_a_job_can_be_read_from_any_byte(
        self, server: Server, watched: tuple[str, list[dict[str, Any]]]
    ) -> None:
        path = f"/v1/jobs/{watched[0]}/logs"
        whole = server.client.get(path).content

        part = server.client.get(path, headers={"Range": "bytes=10-29"}).content

        assert len(whole) > 1000
        assert part == whole[10:30]


class TestKilledWorker:
    @pytest.mark.slow
    def test_the_job_ends_as_one_that_was_left_alone_without_any_help(
        self,
        server: Server,
        dataset: str,
        watched: tuple[str, list[dict[str, Any]]],
        plain: Plain,
        tmp_path: Path,
    ) -> None:
        job_id = server.submit(dataset, train={"epochs": EPOCHS})

        # Another worker takes it over long before its lease of 90 seconds ends.
        kill_worker(server, job_id, after=[1], chance=a_chance())
        server.succeed(job_id, within=JOB_SECONDS)

        attempts = server.get(f"/v1/jobs/{job_id}/attempts")["data"]
        assert [each["end_reason"] for each in attempts] == ["worker_lost", "succeeded"]
        assert [each["resumed"] for each in attempts] == ["none", "exact"]
        assert_equal_jobs(server, plain, (job_id, watched[0]), tmp_path)


class TestCancel:
    def test_a_running_job_ends_and_leaves_no_process(self, server: Server, dataset: str) -> None:
        job_id = server.submit(dataset, train={"epochs": 500})
        eventually(lambda: server.job(job_id)["progress"], within=JOB_SECONDS)

        answer = server.client.post(f"/v1/jobs/{job_id}/cancel")

        assert answer.status_code == 202
        assert server.finish(job_id, within=30)["state"] == "cancelled"
        assert list(living_processes(f"{job_id}-1")) == []


class TestPostgres:
    @pytest.fixture
    def on_postgres(self, postgres_url: str, tmp_path: Path) -> Iterator[Server]:
        with trainyard_up(tmp_path / "home", {"TRAINYARD_DATABASE_URL": postgres_url}) as server:
            yield server

    @pytest.mark.slow
    def test_the_same_path_holds_by_a_setting(self, on_postgres: Server, archive: Path) -> None:
        dataset = on_postgres.upload(archive, name="shapes")

        status = on_postgres.succeed(on_postgres.submit(dataset), within=JOB_SECONDS)

        assert status["best"]["epoch"] in {1, 2}
        assert not (on_postgres.home / "trainyard.db").exists()
