"""The routes of the streams: their first messages, headers, and what they refuse."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2 as httpx
import pytest

from app.settings.streams import StreamSettings
from app.stream.messages import MESSAGES, message_schemas
from app.stream.places import Places
from app.stream.watcher import Credential, CredentialKind
from tests.stream.memory import MESSAGE
from tests.worlds.rows import NO_JOB
from tests.worlds.server import Api

pytestmark = pytest.mark.integration

STREAM = "/v1/events/stream"


def asked(api: Api, path: str = STREAM, **request: Any) -> httpx.Response:  # noqa: ANN401
    with api.streams_ended():
        return api.client.get(path, **request)


def messages(answer: httpx.Response) -> list[tuple[str, dict[str, Any], str | None]]:
    found = MESSAGE.finditer(answer.text)
    return [(each["event"], json.loads(each["data"]), each["id"]) for each in found]


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("urn:trainyard:problem:")


@contextmanager
def places_taken(api: Api, count: int) -> Iterator[None]:
    """Let the caller have this many streams."""
    credential = Credential(CredentialKind.KEY, api.key.split("_")[2])
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(api.streams.places.taken(credential))
        yield


class TestFirstMessages:
    def test_a_stream_begins_with_retry_and_hello_and_ends_with_bye(self, api: Api) -> None:
        answer = asked(api)

        found = messages(answer)
        assert answer.text.startswith("retry: 1000\n\nevent: hello\n")
        assert found[0][1].keys() == {"server", "after", "gap"}
        assert found[0][1]["gap"] is False
        assert found[-1] == ("bye", {"reason": "shutdown"}, None)

    def test_a_stream_is_neither_kept_nor_buffered_nor_compressed(self, api: Api) -> None:
        headers = asked(api, headers={"Accept-Encoding": "gzip, br"}).headers

        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in headers

    def test_events_after_a_position_are_sent_first(self, api: Api) -> None:
        start = messages(asked(api))[0][1]["after"]
        job = api.submit()["id"]

        found = messages(asked(api, params={"after": start}))

        events = [(data, id_) for event, data, id_ in found if event == "event"]
        assert [(data["job"], data["type"]) for data, _ in events] == [(job, "job.submitted")]
        assert events[0][0].keys() == {
            *("job", "project", "seq", "type", "level", "data", "created_at")
        }
        assert events[0][0]["project"] == "default"
        assert events[0][1]

    def test_the_header_of_a_browser_counts_more_than_the_query(self, api: Api) -> None:
        start = messages(asked(api))[0][1]["after"]
        api.submit()
        now = messages(asked(api))[0][1]["after"]

        answer = asked(api, params={"after": start}, headers={"Last-Event-ID": now})

        assert [event for event, _, _ in messages(answer) if event == "event"] == []

    def test_a_position_that_is_not_known_is_a_gap(self, api: Api) -> None:
        hello = messages(asked(api, params={"after": "made-up"}))[0][1]

        assert hello["gap"] is True
        assert messages(asked(api, params={"after": hello["after"]}))[0][1]["gap"] is False

    def test_the_stream_of_a_job_has_only_its_events(self, api: Api) -> None:
        start = messages(asked(api))[0][1]["after"]
        job, _ = api.submit()["id"], api.submit()["id"]

        found = messages(asked(api, f"/v1/jobs/{job}/events/stream", params={"after": start}))

        assert {data["job"] for event, data, _ in found if event == "event"} == {job}
        assert {event for event, _, _ in found} == {"hello", "event", "bye"}


class TestRefusals:
    def test_a_caller_has_twenty_streams(self, api: Api) -> None:
        with places_taken(api, 20):
            answer = asked(api)

        assert problem(answer) == (429, "too-many-streams")
        assert answer.headers["retry-after"] == "5"
        assert api.streams.places.taken_places == 0

    def test_a_server_has_a_largest_number_of_streams(self, api: Api) -> None:
        places = api.streams.places
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(places, "_limits", StreamSettings(maximum=2))
            with places_taken(api, 2):
                answer = asked(api)

        assert problem(answer) == (503, "streams-full")

    def test_a_stopping_server_opens_no_stream(self, api: Api) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api.streams.places, "_is_stopping", lambda: True)
            answer = asked(api)

        assert problem(answer) == (503, "streams-full")

    @pytest.mark.parametrize("query", ["?before=1", "?after=", "?after=" + "a" * 2001])
    def test_other_parameters_are_refused(self, api: Api, query: str) -> None:
        assert problem(asked(api, STREAM + query)) == (422, "validation-error")

    def test_a_job_that_is_not_there_is_not_found(self, api: Api) -> None:
        answer = asked(api, f"/v1/jobs/{NO_JOB}/events/stream")

        assert problem(answer) == (404, "job-not-found")


@pytest.mark.unit
class TestPlaces:
    def test_places_are_free_again(self) -> None:
        places = Places(StreamSettings(maximum=1), lambda: False)
        key = Credential(CredentialKind.KEY, "k")

        for _ in range(3):
            with places.taken(key):
                assert places.taken_places == 1

        assert (places.taken_places, len(places._of)) == (0, 0)


class TestDocument:
    def test_every_message_is_a_described_model(self, api: Api) -> None:
        operation = api.app.openapi()["paths"][STREAM]["get"]
        schema = operation["responses"]["200"]["content"]["text/event-stream"]["itemSchema"]

        names = {each["properties"]["event"]["const"] for each in schema["anyOf"]}
        assert names == set(MESSAGES)
        assert message_schemas().keys() <= api.app.openapi()["components"]["schemas"].keys()
