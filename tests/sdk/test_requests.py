"""Requests, problems and pages, with both surfaces."""

import threading

import pytest
from trainyard import (
    AccessError,
    Client,
    InvalidError,
    NotFoundError,
    UnreachableError,
)

from tests.browser.site import Site
from tests.faults.proxy import Direction, FaultProxy
from tests.sdk.surfaces import a_client
from tests.worlds.rows import NO_JOB

pytestmark = pytest.mark.integration


class TestRequests:
    def test_any_route_answers_with_its_json(self, client: Client) -> None:
        assert client.request("GET", "/v1/me")["role"] == "administrator"

    def test_a_problem_is_raised_with_its_type_and_request_id(self, client: Client) -> None:
        with pytest.raises(NotFoundError) as caught:
            client.jobs.get(NO_JOB)

        assert caught.value.slug == "job-not-found"
        assert caught.value.request_id.startswith("req_")

    def test_an_invalid_spec_names_each_field(self, client: Client) -> None:
        with pytest.raises(InvalidError) as caught:
            client.jobs.submit({"model": "yolo26n.yaml", "epochs": 3})

        assert {"/dataset", "/epochs"} <= {field.pointer for field in caught.value.fields}

    def test_a_wrong_key_is_an_access_error(self, surface: str, site: Site) -> None:
        with (
            a_client(surface, site.url, "trainyard_user_wrong") as stranger,
            pytest.raises(AccessError),
        ):
            stranger.request("GET", "/v1/me")

    def test_a_server_that_never_answered_is_not_waited_for(self, surface: str) -> None:
        with (
            a_client(surface, "http://127.0.0.1:9", "key") as client,
            pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"),
        ):
            client.request("GET", "/v1/me")


class TestPages:
    def test_a_pager_reads_all_pages(self, client: Client, site: Site) -> None:
        wanted = {site.a_job(name="paged") for _ in range(5)}

        found = [job.id for job in client.jobs.list(name="paged", limit=2)]

        assert len(found) == len(set(found))
        assert wanted <= set(found)


class TestSubmits:
    def test_a_submit_whose_answer_was_lost_makes_one_job(
        self, far_client: Client, proxy: FaultProxy, site: Site, surface: str
    ) -> None:
        name = f"once by {surface}"
        far_client.request("GET", "/v1/me")
        proxy.cut_after(10, Direction.TO_CLIENT)
        proxy.break_connections()
        spec = {"dataset": site.rows.dataset_id, "model": "yolo26n.yaml", "name": name}
        healed = Healing(proxy)

        with healed:
            job = far_client.jobs.submit(spec)

        with site.client as reader:
            listed = reader.get("/v1/jobs", params={"name": name}).json()["data"]
        assert [each["id"] for each in listed] == [job.id]


class Healing:
    """Heals a network after it has carried the first request and lost its answer."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._timer = threading.Timer(1.5, proxy.heal)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.join()
