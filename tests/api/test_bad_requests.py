"""Hostile and mistaken requests: each refusal repeats no part of them, and no row is left."""

import hashlib
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from httpx2 import Response
from sqlalchemy import insert

from app.artifacts.names import ArtifactKind
from app.artifacts.tables import Artifact
from app.core.database import database_now
from app.core.ids import new_id
from app.jobs.spec.refused_arguments import REFUSED_ARGUMENTS
from tests.api.hostile_requests import DEEP, JSON, ROWS, Hostile, spec
from tests.api.refusals import CANARY, assert_refused, rows_by_table
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

BURN_SECONDS = 0.5
LOG = bytes(range(256)) * 4


@dataclass(frozen=True)
class Target:
    """A server with one queued job, which has one artifact to download."""

    api: Api
    job_id: str

    def send(self, hostile: Hostile) -> Response:
        ids = {"DATASET": self.api.rows.dataset_id, "JOB": self.job_id}
        path, content = hostile.path, hostile.content
        for name, value in ids.items():
            path = path.replace(name, value)
            content = content.replace(name.encode(), value.encode())
        return self.api.client.request(
            hostile.method, path, content=content, headers=dict(hostile.headers)
        )

    def send_spec(self, content: bytes, **headers: str) -> Response:
        return self.send(Hostile(0, "", None, content, headers=JSON | headers))


@pytest.fixture(scope="module")
def target(shared_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Target:
    target = Target(shared_api, shared_api.submit(name="stays")["id"])
    file = tmp_path_factory.mktemp("artifact") / "best.pt"
    add_artifact(target, file)
    return target


def add_artifact(target: Target, file: Path) -> None:
    file.write_bytes(LOG)
    stored = target.api.context.store.put_file(file)
    with target.api.database.write() as unit:
        unit.session.execute(
            insert(Artifact).values(
                id=new_id("art"),
                job_id=target.job_id,
                attempt=1,
                kind=ArtifactKind.WEIGHTS,
                name="best.pt",
                size_bytes=stored.size_bytes,
                sha256=stored.sha256,
                created_at=database_now(),
            )
        )


class TestRefusals:
    @pytest.mark.parametrize("row", ROWS)
    def test_a_bad_request_is_refused_as_its_row_says_and_leaves_nothing(
        self, target: Target, row: str
    ) -> None:
        hostile = ROWS[row]
        before = rows_by_table(target.api.database)

        answer = target.send(hostile)

        assert_refused(answer, status=hostile.status, slug=hostile.slug, pointer=hostile.pointer)
        assert rows_by_table(target.api.database) == before

    def test_the_same_request_without_its_fault_is_accepted(self, target: Target) -> None:
        answer = target.send_spec(spec())

        assert answer.status_code == 201

    def test_all_faults_of_a_spec_are_named_in_one_answer(self, target: Target) -> None:
        faulty = spec(name="", priority=1000, unknown=1, train={"epochs": 0, "workers": 8})

        answer = target.send_spec(faulty)

        pointers = {error["pointer"] for error in answer.json()["errors"]}
        assert pointers == {"/name", "/priority", "/unknown", "/train/epochs", "/train/workers"}

    @pytest.mark.parametrize(
        ("document", "meant"),
        [
            (spec(datset="ds_"), "dataset"),
            (spec(train={"epoch": 3}), "epochs"),
            (spec(train={"learning_rate": 0.1}), "lr0"),
            (spec(resources={"qeue": "a"}), "queue"),
        ],
        ids=["H8-dataset", "H8-epochs", "H8-lr0", "H8-queue"],
    )
    def test_an_unknown_field_is_answered_with_the_one_that_was_meant(
        self, target: Target, document: bytes, meant: str
    ) -> None:
        answer = target.send_spec(document)

        assert f'Did you mean "{meant}"?' in answer.json()["errors"][0]["message"]

    def test_every_argument_that_the_service_owns_is_refused_with_its_reason(
        self, target: Target
    ) -> None:
        answer = target.send_spec(spec(train=dict.fromkeys(REFUSED_ARGUMENTS, CANARY)))

        assert_refused(answer, status=422, slug="validation-error")
        refused = {error["pointer"]: error["message"] for error in answer.json()["errors"]}
        assert refused == {
            f"/train/{name}": refusal.message for name, refusal in REFUSED_ARGUMENTS.items()
        }

    @pytest.mark.parametrize(
        "content",
        [b"[" * DEEP, b'{"a":' * DEEP, spec(priority=0).replace(b"0}", b"1" * 900_000 + b"}")],
        ids=["H4-lists", "H4-objects", "H6-digits"],
    )
    def test_a_costly_body_burns_no_processor_time(self, target: Target, content: bytes) -> None:
        started = time.process_time()

        answer = target.send_spec(content)

        assert answer.status_code == 400
        assert time.process_time() - started < BURN_SECONDS

    def test_a_large_number_of_faults_gives_an_answer_of_bounded_size(self, target: Target) -> None:
        answer = target.send_spec(spec(**{f"x{number}": 1 for number in range(50_000)}))

        assert answer.status_code == 422
        assert len(answer.content) < 100_000


class TestWithoutCredential:
    @pytest.mark.parametrize("row", ["H8-unknown", "J1-resume", "J3-model-and-data", "H16-huge"])
    def test_nothing_of_a_request_is_judged(self, target: Target, row: str) -> None:
        hostile = ROWS[row]
        headers = {**hostile.headers, "Authorization": f"Bearer {CANARY}"}

        answer = target.api.client.request(
            hostile.method, hostile.path, content=hostile.content, headers=headers
        )

        assert_refused(answer, status=401, slug="unauthenticated")


class TestCursors:
    LISTS = ("/v1/jobs", "/v1/datasets", "/v1/models", "/v1/jobs/JOB/events")

    @pytest.mark.parametrize("path", LISTS)
    @pytest.mark.parametrize(
        "cursor",
        [CANARY, "!!", "%00", "%C3%A9", "AAAA" * 20, "eyJpZCI6MX0", "Li4vLi4v", "="],
        ids=lambda cursor: f"H16-{cursor}"[:20],
    )
    def test_a_made_up_cursor_is_refused(self, target: Target, path: str, cursor: str) -> None:
        path = path.replace("JOB", target.job_id)

        answer = target.api.client.get(f"{path}?cursor={cursor}")

        assert_refused(answer, status=400, slug="bad-cursor")

    def test_a_cursor_of_another_list_is_refused(self, target: Target) -> None:
        models = target.api.client.get("/v1/models", params={"limit": 1}).json()

        answer = target.api.client.get("/v1/jobs", params={"cursor": models["next"]})

        assert_refused(answer, status=400, slug="bad-cursor")

    def test_a_cursor_with_a_changed_bit_is_refused(self, target: Target) -> None:
        cursor = target.api.client.get("/v1/models", params={"limit": 1}).json()["next"]
        changed = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]

        answer = target.api.client.get("/v1/models", params={"cursor": changed})

        assert_refused(answer, status=400, slug="bad-cursor")


class TestRanges:
    @pytest.mark.parametrize(
        "value",
        [
            "bytes=" + ",".join(f"{start}-{start + 1}" for start in range(0, 1000, 2)),
            "bytes=9-3",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=" + "9" * 5_000 + "-",
            "bytes=\u0661-\u0662".encode().decode("latin-1"),
        ],
        ids=[
            "H15-500-parts",
            "H15-inverted",
            "H15-none",
            "H15-dash",
            "H15-letters",
            "H15-two-parts",
            "H15-other-unit",
            "H15-5000-digits",
            "H15-other-digits",
        ],
    )
    def test_a_range_that_makes_no_sense_is_answered_with_everything(
        self, target: Target, value: str
    ) -> None:
        answer = self.artifact(target, value)

        assert (answer.status_code, answer.content) == (200, LOG)

    @pytest.mark.parametrize(
        "value",
        [f"bytes={len(LOG)}-", "bytes=999999999-", "bytes=-0"],
        ids=["H15-at-the-end", "H15-beyond", "H15-last-none"],
    )
    def test_a_range_without_a_byte_is_refused(self, target: Target, value: str) -> None:
        answer = self.artifact(target, value)

        assert_refused(answer, status=416, slug="range-not-satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{len(LOG)}"

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("bytes=0-0", LOG[:1]),
            ("bytes=1000-", LOG[1000:]),
            ("bytes=-5", LOG[-5:]),
            ("bytes=5-99999999", LOG[5:]),
            ("bytes=-99999999", LOG),
        ],
        ids=["H15-first", "H15-rest", "H15-last", "H15-past-the-end", "H15-longer-tail"],
    )
    def test_a_range_that_makes_sense_is_answered_with_its_bytes(
        self, target: Target, value: str, expected: bytes
    ) -> None:
        answer = self.artifact(target, value)

        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["ETag"] == f'"{hashlib.sha256(LOG).hexdigest()}"'

    @staticmethod
    def artifact(target: Target, value: str) -> Response:
        path = f"/v1/jobs/{target.job_id}/artifacts/best.pt"
        return target.api.client.get(path, headers={b"Range": value.encode("latin-1")})


class TestIdempotencyKeys:
    def test_h17_twenty_requests_with_one_key_at_once_make_one_job(self, shared_api: Api) -> None:
        api, key = shared_api, new_id("key")
        together = threading.Barrier(20)

        def submit(_: int) -> tuple[int, str, str | None]:
            together.wait(timeout=30)
            headers = {"Idempotency-Key": key}
            answer = api.client.post("/v1/jobs", json=api.spec(), headers=headers)
            replayed = answer.headers.get("Idempotency-Replayed")
            return answer.status_code, answer.json()["id"], replayed

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(submit, range(20)))

        assert len({job_id for _, job_id, _ in answers}) == 1
        assert sorted((status, replayed) for status, _, replayed in answers if replayed) == (
            [(200, "true")] * 19
        )
        assert [status for status, _, replayed in answers if not replayed] == [201]

    def test_h18_another_body_under_the_same_key_is_refused(self, target: Target) -> None:
        key = new_id("key")
        target.send_spec(spec(), **{"Idempotency-Key": key})
        before = rows_by_table(target.api.database)

        answer = target.send_spec(spec(priority=1), **{"Idempotency-Key": key})

        assert_refused(
            answer, status=422, slug="idempotency-key-reuse", pointer="header/Idempotency-Key"
        )
        assert rows_by_table(target.api.database) == before

    @pytest.mark.parametrize(
        "key",
        ["", "a b", "a" * 256, "\u00e9"],
        ids=["H17-empty", "H17-space", "H17-long", "H17-accent"],
    )
    def test_an_idempotency_key_that_cannot_be_kept_is_refused(
        self, target: Target, key: str
    ) -> None:
        headers = {b"Idempotency-Key": key.encode(), b"Content-Type": b"application/json"}

        answer = target.api.client.post(
            "/v1/jobs", content=json.dumps(target.api.spec()), headers=headers
        )

        assert_refused(
            answer, status=422, slug="validation-error", pointer="header/Idempotency-Key"
        )


class TestFaultsOfOurs:
    SECRET = "postgresql://trainyard:hunter2@db/trainyard"

    def test_h21_an_unforeseen_exception_tells_the_caller_nothing_and_the_log_all(
        self, api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail() -> None:
            raise RuntimeError(self.SECRET)

        api.app.add_api_route("/v1/fault", fail)

        with caplog.at_level(logging.ERROR):
            answer = api.client.get("/v1/fault")

        assert_refused(answer, status=500, slug="internal")
        assert "hunter2" not in answer.text
        assert "Traceback" not in answer.text
        logged = caplog.text + capsys.readouterr().out
        assert answer.headers["X-Request-Id"] in logged
        assert "RuntimeError" in logged
