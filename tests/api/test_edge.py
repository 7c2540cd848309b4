"""The outermost layer: hosts, headers of every response, keys in URLs, and the path prefix."""

import json
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.core.response_headers import HSTS, NO_STORE, NOTHING, REVALIDATED, RULES
from tests.api.asgi_client import OPEN, Heard, call, routes_of
from tests.api.refusals import CANARY
from tests.worlds.server import Api, on, serving

pytestmark = pytest.mark.mostly_sqlite

ALWAYS = {name.lower() for name in RULES} - {"strict-transport-security"}
UNKNOWN_HOSTS = ["evil.example", "testserver", "10.1.2.3:8080", "trainyard.cluster.local", "[::2]"]


def with_key(api: Api, **headers: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {api.key}", **headers}


def every_answer(api: Api) -> Iterator[tuple[object, Heard]]:
    """Answer something on every route, and on requests that reach none."""
    with api.streams_ended():
        for method, path, _ in routes_of(api):
            yield (method, path), call(api, method, path, with_key(api))
    for path in [*OPEN, "/nothing", "/v1/jobs?limit=-1", f"/v1/jobs?x={api.key}"]:
        yield path, call(api, "GET", path, with_key(api))
    yield "stranger", call(api, "POST", "/v1/jobs", {}, [b"{"])
    yield "verb", call(api, "PURGE", "/v1/jobs", with_key(api))
    yield "host", call(api, "GET", "/v1/jobs", with_key(api, host="evil.example"))
    yield "json", call(api, "POST", "/v1/jobs", with_key(api), [b"{"])


@pytest.fixture(scope="module")
def answers(shared_api: Api) -> dict[object, Heard]:
    return dict(every_answer(shared_api))


class TestHeaders:
    def test_every_answer_has_the_headers_of_the_table(self, answers: dict[object, Heard]) -> None:
        assert len(answers) > 60
        assert {each.status for each in answers.values()} >= {200, 400, 401, 404, 405, 412, 422}
        assert [route for route, each in answers.items() if not set(each.headers) >= ALWAYS] == []
        assert [
            route
            for route, each in answers.items()
            if "frame-ancestors 'none'" not in each.headers["content-security-policy"]
        ] == []

    def test_no_answer_without_a_tag_is_kept_by_the_caller(
        self, answers: dict[object, Heard]
    ) -> None:
        assert [
            (route, each.headers["cache-control"])
            for route, each in answers.items()
            if each.headers["cache-control"]
            != (REVALIDATED if "etag" in each.headers and each.status < 400 else NO_STORE)
        ] == []

    def test_a_job_is_kept_only_to_be_asked_for_again(self, shared_api: Api) -> None:
        path = f"/v1/jobs/{shared_api.submit()['id']}"

        fresh = shared_api.client.get(path)
        known = shared_api.client.get(path, headers={"If-None-Match": fresh.headers["ETag"]})

        kept = {each.headers["Cache-Control"] for each in (fresh, known)}
        assert kept == {REVALIDATED}

    @pytest.mark.parametrize("path", ["/v1/jobs", "/livez", "/nothing", "/v1/jobs?limit=0"])
    def test_tls_is_asked_of_browsers_that_came_by_tls(self, shared_api: Api, path: str) -> None:
        by_tls = call(shared_api, "GET", path, with_key(shared_api), scheme="https")
        plain = call(shared_api, "GET", path, with_key(shared_api))

        assert by_tls.headers["strict-transport-security"] == HSTS
        assert "strict-transport-security" not in plain.headers

    def test_a_fault_of_the_server_has_them_too(self, api: Api) -> None:
        def fail() -> None:
            raise RuntimeError

        api.app.add_api_route("/v1/fault", fail)

        answer = api.client.get("/v1/fault")

        assert answer.status_code == 500
        assert answer.headers["Content-Security-Policy"] == NOTHING
        assert set(answer.headers) >= ALWAYS


class TestHosts:
    @pytest.mark.parametrize("host", UNKNOWN_HOSTS)
    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_health_is_answered_under_any_host(self, shared_api: Api, host: str, path: str) -> None:
        assert call(shared_api, "GET", path, {"host": host}).status == 200

    @pytest.mark.parametrize("host", UNKNOWN_HOSTS)
    def test_nothing_else_is(self, shared_api: Api, host: str) -> None:
        heard = [
            call(shared_api, "GET", path, with_key(shared_api, host=host))
            for path in ("/version", "/openapi.json", "/v1/jobs", "/livez/", "/v1/jobs/livez")
        ]

        assert {(each.status, each.slug) for each in heard} == {(400, "bad-host")}

    def test_health_is_answered_without_a_host_to_http_1_0_alone(self, shared_api: Api) -> None:
        statuses = [
            call(shared_api, "GET", "/livez", {}, headers=[], http_version=version).status
            for version in ("1.0", "1.1")
        ]

        assert statuses == [200, 400]

    @pytest.mark.parametrize("host", ["a/b?x=", "x y", f"{CANARY}@127.0.0.1", "a:99999999", ""])
    def test_h12_a_malformed_host_is_refused_on_every_path(
        self, shared_api: Api, host: str
    ) -> None:
        heard = [
            call(shared_api, "GET", path, with_key(shared_api, host=host))
            for path in ("/livez", "/v1/jobs")
        ]

        assert {(each.status, each.slug) for each in heard} == {(400, "bad-host")}
        assert not any(CANARY.encode() in each.body for each in heard)

    def test_the_refusal_names_the_setting_and_not_the_host(self, shared_api: Api) -> None:
        heard = call(shared_api, "GET", "/v1/jobs", {"host": f"{CANARY}.example"})

        assert "TRAINYARD_ALLOWED_HOSTS" in json.loads(heard.body)["detail"]
        assert CANARY.encode() not in heard.body


class TestKeysInUrls:
    @pytest.mark.parametrize(
        "place", ["?access_token={}", "?api_key={}", "/{}", "?{}=1", "?a=b&{}"]
    )
    @pytest.mark.parametrize("has_header", [True, False], ids=["good-header", "no-header"])
    def test_a7_a_key_in_a_url_is_refused_and_shown_nowhere(
        self,
        shared_api: Api,
        place: str,
        has_header: bool,  # noqa: FBT001 -- a parameter of the test
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        headers = with_key(shared_api) if has_header else {}
        caplog.set_level(logging.DEBUG)

        heard = call(shared_api, "GET", "/v1/jobs" + place.format(shared_api.key), headers)

        assert (heard.status, heard.slug) == (400, "credential-in-url")
        shown = heard.body.decode() + caplog.text + "".join(capsys.readouterr())
        assert shared_api.key not in shown


class TestMediaTypes:
    @pytest.mark.parametrize(
        "media_type",
        [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            'application/json;charset="UTF-8"',
            "application/json; version=1",
        ],
    )
    def test_json_in_utf_8_is_read(self, shared_api: Api, media_type: str) -> None:
        assert self.submit(shared_api, media_type).status == 201

    @pytest.mark.parametrize(
        "media_type",
        [
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=utf-16",
            "application/json; charset=",
            "application/vnd.api+json",
            "application/problem+json",
            "application/jsonp",
            "application/json, text/plain",
            "text/json",
            "json",
            "",
        ],
    )
    def test_h9_any_other_type_is_refused(self, shared_api: Api, media_type: str) -> None:
        heard = self.submit(shared_api, media_type)

        assert (heard.status, heard.slug) == (415, "unsupported-media-type")
        assert heard.reads == 0

    @staticmethod
    def submit(api: Api, media_type: str) -> Heard:
        document = json.dumps(api.spec()).encode()
        headers = {"content-type": media_type, "content-length": str(len(document))}
        return call(api, "POST", "/v1/jobs", with_key(api, **headers), [document])


class TestPathPrefix:
    @pytest.fixture
    def behind(self, database_url: str, tmp_path: Path) -> Iterator[Api]:
        settings = on(database_url, tmp_path / "home").model_copy(update={"path_prefix": "/yard"})
        yield from serving(settings)

    @pytest.mark.parametrize("stripped", ["", "/yard"], ids=["stripped", "not-stripped"])
    def test_all_links_begin_with_the_prefix_whether_the_proxy_strips_it_or_not(
        self, behind: Api, stripped: str
    ) -> None:
        job = behind.client.post(f"{stripped}/v1/jobs", json=behind.spec())
        dataset = behind.client.get(f"{stripped}/v1/datasets/{behind.rows.dataset_id}")
        upload = behind.client.post(
            f"{stripped}/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
        )

        links = [job.headers["Location"], upload.headers["Location"]]
        for answer in (job, dataset, upload):
            links += answer.json()["links"].values()
        assert len(links) > 10
        assert [link for link in links if not link.startswith("/yard/v1/")] == []

    def test_a_link_leads_to_what_it_names(self, behind: Api) -> None:
        job = behind.submit()

        assert behind.client.get(job["links"]["self"]).json()["id"] == job["id"]
        assert behind.client.get(job["links"]["events"]).status_code == 200

    def test_errors_of_uploads_name_the_version_of_tus_below_the_prefix(self, behind: Api) -> None:
        answer = behind.client.head("/yard/v1/uploads/nothing")

        assert answer.headers["Tus-Version"] == "1.0.0"

    def test_a_wrong_method_is_answered_with_the_right_ones(self, behind: Api) -> None:
        answer = behind.client.put("/yard/v1/jobs")

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")

    def test_the_openapi_document_names_the_prefix_as_the_server(self, behind: Api) -> None:
        answer = behind.client.get("/yard/openapi.json")

        assert answer.json()["servers"] == [{"url": "/yard"}]
        assert set(answer.headers) >= ALWAYS

    def test_health_is_answered_with_and_without_the_prefix(self, behind: Api) -> None:
        statuses = [behind.client.get(path).status_code for path in ("/livez", "/yard/livez")]

        assert statuses == [200, 200]


class TestDocument:
    def test_the_openapi_document_is_made_outside_the_event_loop(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads, make = [], api.app.openapi

        def openapi() -> dict[str, object]:
            threads.append(threading.get_ident())
            return make()

        monkeypatch.setattr(api.app, "openapi", openapi)
        assert api.client.portal is not None

        documents = [api.client.get("/openapi.json").json() for _ in range(2)]

        assert documents == [make(), make()]
        assert len(threads) == 1
        assert threads[0] != api.client.portal.call(threading.get_ident)

    def test_the_openapi_document_can_only_be_read(self, shared_api: Api) -> None:
        answer = shared_api.client.post("/openapi.json")

        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
