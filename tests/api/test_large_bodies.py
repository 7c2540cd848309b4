"""Large JSON bodies: they are parsed and validated outside the event loop, with the same result."""

import json
import threading

import pytest

from app.core import strict_json
from app.core.strict_json import MAX_ELEMENTS
from app.core.strict_request import MAX_ERRORS, SMALL_BYTES
from tests.api.refusals import CANARY, assert_refused
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

NOTES = "a" * (2 * SMALL_BYTES)


class TestLargeBodies:
    def test_a_large_job_is_stored_as_it_was_sent(self, shared_api: Api) -> None:
        job = shared_api.submit(notes=NOTES, tags={"a": "b"})

        assert (job["notes"], job["tags"]) == (NOTES, {"a": "b"})

    def test_a_large_change_is_stored_as_it_was_sent(self, shared_api: Api) -> None:
        path = f"/v1/jobs/{shared_api.submit(name='first')['id']}"

        changed = shared_api.client.patch(path, json={"notes": NOTES}).json()

        assert (changed["notes"], changed["name"]) == (NOTES, "first")

    def test_a_large_clone_is_stored_as_it_was_sent(self, shared_api: Api) -> None:
        path = f"/v1/jobs/{shared_api.submit(name='first')['id']}/clone"

        clone = shared_api.client.post(path, json={"notes": NOTES})

        assert clone.json()["notes"] == NOTES

    def test_each_fault_of_a_large_body_is_named(self, shared_api: Api) -> None:
        body = shared_api.spec(notes=NOTES, priority=1000, train={"epochs": 0, "x": CANARY})

        answer = shared_api.client.post("/v1/jobs", json=body)

        assert_refused(answer, status=422, slug="validation-error", pointer="/train/epochs")
        pointers = {error["pointer"] for error in answer.json()["errors"]}
        assert pointers == {"/priority", "/train/epochs", "/train/x"}

    def test_faults_beyond_counting_are_only_counted(self, shared_api: Api) -> None:
        path = f"/v1/datasets/{shared_api.rows.dataset_id}/versions"
        body = {f"{CANARY}{number}": 1 for number in range(MAX_ERRORS + 1)}

        answer = shared_api.client.post(path, json=body)

        assert_refused(answer, status=422, slug="validation-error")
        assert str(MAX_ERRORS + 1) in answer.json()["detail"]

    @pytest.mark.parametrize("element", ["[]", "{}", "0.1"])
    def test_h4_a_body_of_too_many_elements_is_refused(self, shared_api: Api, element: str) -> None:
        content = "[" + ",".join([element] * (MAX_ELEMENTS + 1)) + "]"

        answer = shared_api.client.post(
            "/v1/jobs", content=content, headers={"Content-Type": "application/json"}
        )

        assert_refused(answer, status=400, slug="invalid-json")

    @pytest.mark.parametrize(
        ("notes", "in_loop"), [("", True), (NOTES, False)], ids=["small", "large"]
    )
    def test_only_a_small_body_is_parsed_in_the_event_loop(
        self,
        shared_api: Api,
        monkeypatch: pytest.MonkeyPatch,
        notes: str,
        in_loop: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        threads = []

        def parse(body: bytes) -> object:
            threads.append(threading.get_ident())
            return json.loads(body)

        monkeypatch.setattr(strict_json, "parse_json", parse)
        assert shared_api.client.portal is not None

        shared_api.submit(notes=notes)

        loop = shared_api.client.portal.call(threading.get_ident)
        assert [thread == loop for thread in threads] == [in_loop]
