"""Metrics, events, attempts, logs and files of a job over HTTP."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from app.core.storage import StoredObject, local_file
from app.jobs.http.records.log_routes import _log
from app.jobs.http.records.made_files import MADE
from app.jobs.states import Phase
from tests.api.jobs.running_job import Running, claimed
from tests.api.refusals import assert_refused
from tests.worlds.rows import a_checkpoint, a_job, job_row, some_rows
from tests.worlds.server import Api

CONTENT = bytes(range(256)) * 4
RECORDS = (
    "metrics",
    "metrics/classes",
    "metrics/system",
    "events",
    "logs",
    "attempts",
    "checkpoints",
    "artifacts",
    "artifacts/best.pt",
)

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def running(api: Api) -> Running:
    api.submit()
    return claimed(api)


class TestProgress:
    @pytest.mark.parametrize("phase", Phase)
    def test_a_remaining_time_is_shown_only_while_epochs_are_left(
        self, running: Running, phase: Phase
    ) -> None:
        running.show_progress(phase, eta_seconds=60.0)

        progress = running.api.client.get(running.path).json()["progress"]

        is_training = phase in {Phase.TRAINING, Phase.VALIDATING}
        assert progress["eta_seconds"] == (60.0 if is_training else None)


class TestResumeEpoch:
    def test_a_running_job_shows_the_epoch_of_its_newest_state_with_a_new_tag(
        self, running: Running
    ) -> None:
        shown, tags = [], set()
        for epoch, name in ((1, None), (1, "last.pt"), (2, "last.pt"), (1, "state.pt")):
            if name is not None:
                a_checkpoint(running.api.database, running.hold.job_id, epoch=epoch, name=name)
            answer = running.api.client.get(running.path)
            shown.append(answer.json()["resume_epoch"])
            tags.add(answer.headers["ETag"])

        assert shown == [None, 1, 2, 1]
        assert len(tags) == 3


class TestMetrics:
    def test_finished_epochs_are_columns_and_what_is_not_finite_is_null(
        self, running: Running
    ) -> None:
        running.finish_epoch(1)
        running.finish_epoch(2)

        metrics = running.api.client.get(f"{running.path}/metrics").json()

        assert metrics["epochs"] == [1, 2]
        assert list(metrics["series"].items()) == [
            ("train/box_loss", [3.0, 1.5]),
            ("metrics/mAP50(B)", [None, None]),
            ("lr/all/weight", [0.5, 0.5]),
        ]

    def test_since_and_keys_narrow_metrics(self, running: Running) -> None:
        running.finish_epoch(1)
        running.finish_epoch(2)

        query = "since=1&keys=lr/all/weight&keys=unknown"
        metrics = running.api.client.get(f"{running.path}/metrics?{query}").json()

        assert metrics["epochs"] == [2]
        assert metrics["series"] == {"lr/all/weight": [0.5]}
        assert len(metrics["seconds"]) == len(metrics["ended_at"]) == 1

    @pytest.mark.parametrize(
        ("accept", "media_type"),
        [
            ("*/*", "application/json"),
            ("text/csv", "text/csv"),
            ("text/csv, */*;q=0.1", "text/csv"),
            ("application/json;q=0.1, text/csv", "text/csv"),
            ("text/*", "text/csv"),
        ],
    )
    def test_the_caller_says_json_or_csv(
        self, running: Running, accept: str, media_type: str
    ) -> None:
        running.finish_epoch(1)

        answer = running.api.client.get(f"{running.path}/metrics", headers={"Accept": accept})

        assert answer.headers["Content-Type"].partition(";")[0] == media_type
        if media_type == "text/csv":
            assert answer.text.splitlines() == [
                "epoch,train/box_loss,metrics/mAP50(B),lr/all/weight",
                "1,3.0,,0.5",
            ]


class TestEvents:
    def test_pages_hold_every_event_once_in_order(self, running: Running) -> None:
        running.finish_epoch(1)
        running.finish_epoch(2)

        seen, path = [], f"{running.path}/events?limit=1"
        page = running.api.client.get(path).json()
        while page["data"]:
            seen += [(each["seq"], each["type"]) for each in page["data"]]
            following = f"{path}&cursor={page['next']}"
            page = running.api.client.get(following).json() if page["has_more"] else {"data": []}

        types = ["job.submitted", "job.started", "epoch.finished", "epoch.finished"]
        assert seen == list(enumerate(types, start=1))

    def test_a_cursor_of_another_job_is_refused(self, running: Running) -> None:
        api = running.api
        other = api.submit()["id"]
        cursor = api.client.get(f"{running.path}/events?limit=1").json()["next"]

        answer = api.client.get(f"/v1/jobs/{other}/events", params={"cursor": cursor})

        assert answer.json()["type"] == "urn:trainyard:problem:bad-cursor"


class TestAttempts:
    def test_each_claim_is_listed_with_its_end(self, running: Running) -> None:
        running.interrupt_and_claim_again()

        attempts = running.api.client.get(f"{running.path}/attempts").json()["data"]

        assert [(each["number"], each["end_reason"]) for each in attempts] == [
            (1, "worker_lost"),
            (2, None),
        ]


class TestLogs:
    def test_a_running_attempts_log_is_read_from_its_pieces(self, running: Running) -> None:
        running.log(0, b"one\n")
        running.log(4, b"two\n")
        path, client = f"{running.path}/logs", running.api.client

        answers = [
            client.get(path).text,
            client.get(path, headers={"Range": "bytes=2-5"}).text,
            client.get(path, params={"tail": 1}).text,
        ]

        assert answers == ["one\ntwo\n", "e\ntw", "two\n"]

    def test_a_job_that_never_ran_has_an_empty_log(self, api: Api) -> None:
        answer = api.client.get(f"/v1/jobs/{api.submit()['id']}/logs")

        assert (answer.status_code, answer.content) == (200, b"")

    @pytest.mark.parametrize("attempt", [2, 9])
    def test_the_log_of_an_attempt_that_the_job_does_not_have_is_not_found(
        self, running: Running, attempt: int
    ) -> None:
        answer = running.api.client.get(f"{running.path}/logs", params={"attempt": attempt})

        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:trainyard:problem:not-found"

    def test_a_job_that_never_ran_has_no_first_attempt(self, api: Api) -> None:
        path = f"/v1/jobs/{api.submit()['id']}/logs"

        answer = api.client.get(path, params={"attempt": 1})

        assert answer.json()["type"] == "urn:trainyard:problem:not-found"

    def test_an_earlier_attempts_log_is_read_while_the_next_one_runs(
        self, running: Running, tmp_path: Path
    ) -> None:
        running.store_log(tmp_path / "log", b"first\n")
        second = running.interrupt_and_claim_again()
        second.log(0, b"second\n")
        path, client = f"{running.path}/logs", running.api.client

        logs = [client.get(path, params={"attempt": number}).text for number in (1, 2)]

        assert logs == ["first\n", "second\n"]

    def test_a_log_that_becomes_a_file_while_it_is_read_is_read_to_its_end(
        self, running: Running, tmp_path: Path
    ) -> None:
        api = running.api
        running.log(0, b"one\ntwo\n")
        with api.database.read() as unit:
            download = _log(unit, api.context, job_row(api.database, running.hold.job_id), 1)

        running.store_log(tmp_path / "log", b"one\ntwo\nthree\n")

        assert b"".join(download.read(0, download.size_bytes)) == b"one\ntwo\n"


def files_of(running: Running) -> list[dict[str, Any]]:
    """Return the listed files of a job without those that are made of its rows."""
    listed = running.api.client.get(f"{running.path}/artifacts").json()["data"]
    return [each for each in listed if each["name"] not in MADE]


class TestFiles:
    @pytest.fixture
    def stored(self, running: Running, tmp_path: Path) -> StoredObject:
        path = tmp_path / "best.pt"
        path.write_bytes(CONTENT)
        stored = running.api.context.store.put_file(path)
        running.add_file(stored)
        return stored

    def test_a_file_comes_whole_with_its_digest_as_its_tag(
        self, running: Running, stored: StoredObject
    ) -> None:
        listed = files_of(running)

        answer = running.api.client.get(listed[0]["links"]["download"])

        assert answer.content == CONTENT
        assert answer.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
        assert listed[0]["sha256"] == stored.sha256

    def test_weights_show_what_was_proven_of_them(
        self, running: Running, stored: StoredObject
    ) -> None:
        checks: dict[str, str | int] = {
            "loads": True,
            "forward": True,
            "safe_load": True,
            "ultralytics": "8.4.190",
            "task": "detect",
            "classes": 2,
            "parameters": 2_504_190,
            "imgsz": 64,
        }
        before = files_of(running)
        running.add_file(stored, checks=checks)

        listed = files_of(running)

        assert [each["checks"] for each in (*before, *listed)] == [None, checks]

    @pytest.mark.parametrize("prefix", ["", "W/", '"other", '])
    def test_a_copy_that_the_caller_has_is_not_sent_again(
        self, running: Running, stored: StoredObject, prefix: str
    ) -> None:
        headers = {"If-None-Match": f'{prefix}"{stored.sha256}"'}

        answer = running.api.client.get(f"{running.path}/artifacts/best.pt", headers=headers)

        assert (answer.status_code, answer.content) == (304, b"")

    def test_head_says_what_get_would_send(self, running: Running, stored: StoredObject) -> None:
        answer = running.api.client.head(f"{running.path}/artifacts/best.pt")

        assert answer.content == b""
        assert answer.headers["Content-Length"] == str(stored.size_bytes)

    def test_an_empty_file_is_sent_as_nothing(self, running: Running, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        running.add_file(running.api.context.store.put_file(tmp_path / "empty"))
        path, client = f"{running.path}/artifacts/best.pt", running.api.client

        whole, part = client.get(path), client.get(path, headers={"Range": "bytes=0-"})

        assert (whole.status_code, whole.content, part.status_code) == (200, b"", 416)

    def test_a_file_whose_bytes_are_lost_is_refused_before_anything_is_sent(
        self, running: Running, stored: StoredObject
    ) -> None:
        running.api.context.store.delete(stored.sha256)

        answer = running.api.client.get(f"{running.path}/artifacts/best.pt")

        assert answer.status_code == 410
        assert answer.json()["type"] == "urn:trainyard:problem:artifact-bytes-missing"

    @pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}], ids=["whole", "range"])
    def test_r2_a_flipped_bit_is_never_sent(
        self, running: Running, stored: StoredObject, headers: dict[str, str]
    ) -> None:
        path, client = f"{running.path}/artifacts/best.pt", running.api.client
        assert client.get(path, headers=headers).is_success
        file = local_file(running.api.context.store, stored.sha256)
        assert file is not None
        file.write_bytes(CONTENT[:-1] + b"x")

        answer = client.get(path, headers=headers)

        assert_refused(answer, status=500, slug="artifact-corrupt")


class TestForeignJobs:
    @pytest.mark.parametrize("record", RECORDS)
    def test_records_of_foreign_jobs_are_not_found(self, api: Api, record: str) -> None:
        foreign = a_job(api.database, some_rows(api.database, name="foreign"))

        answer = api.client.get(f"/v1/jobs/{foreign}/{record}")

        assert answer.json()["type"] == "urn:trainyard:problem:job-not-found"
