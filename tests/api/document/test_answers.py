"""Real answers have the statuses, headers, media types and fields that the document declares.

The same requests show that the server accepts the examples of the document.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from jsonschema import Draft202012Validator

from app.core.declared_headers import ON_EVERY_ANSWER
from tests.api.document.openapi_walk import Node, openapi_document, operations
from tests.api.document.walk_of_requests import Answer, walk_through
from tests.worlds.server import Api, on, serving
from tests.worlds.webhooks import LOCAL

pytestmark = pytest.mark.integration

OF_HTTP: Final = frozenset({"content-length", "content-type", "connection"})
ON_EVERY_UPLOAD: Final = frozenset({"tus-resumable", "tus-version"})


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("answers")
    shutil.copyfile(sqlite_template, folder / "trainyard.db")
    settings = on(f"sqlite:///{folder / 'trainyard.db'}", folder / "home")
    yield from serving(settings.model_copy(update={"webhooks": LOCAL}))


@pytest.fixture(scope="module")
def answers(api: Api) -> list[Answer]:
    return walk_through(api)


def declared_answer(answer: Answer) -> Node:
    """Return what the document says of the status of an answer; nothing if it says nothing."""
    found: Node = answer.operation.content["responses"].get(str(answer.response.status_code), {})
    return found


def media_type_of(answer: Answer) -> str:
    return answer.response.headers.get("content-type", "").partition(";")[0]


def media_of(answer: Answer) -> Node | None:
    """Return what the document says of the body of an answer."""
    content = declared_answer(answer).get("content", {})
    by_type = {name.partition(";")[0]: media for name, media in content.items()}
    return by_type.get(media_type_of(answer))


def own_headers(answer: Answer) -> set[str]:
    """Return the headers of an answer that its operation has to declare."""
    everywhere = {name.lower() for name in ON_EVERY_ANSWER} | OF_HTTP
    if answer.operation.path.startswith("/v1/uploads"):
        everywhere |= ON_EVERY_UPLOAD
    return {name.lower() for name in answer.response.headers} - everywhere


NOT_YET: Final = '{"type":"urn:trainyard:problem:authorization-pending"'
"""The answer to a good question of a program whose login is not confirmed."""


class TestAnswers:
    def test_most_operations_are_asked(self, answers: list[Answer]) -> None:
        asked = {answer.operation.id for answer in answers}

        assert len(asked) > 0.7 * len(operations())

    def test_every_status_is_declared(self, answers: list[Answer]) -> None:
        assert [answer.name for answer in answers if not declared_answer(answer)] == []

    def test_every_header_is_declared(self, answers: list[Answer]) -> None:
        undeclared = [
            f"{answer.name}: {name}"
            for answer in answers
            for name in own_headers(answer)
            - {header.lower() for header in declared_answer(answer).get("headers", {})}
        ]

        assert undeclared == []

    def test_every_media_type_is_declared(self, answers: list[Answer]) -> None:
        undeclared = [
            f"{answer.name}: {media_type_of(answer)}"
            for answer in answers
            if answer.response.content and media_of(answer) is None
        ]

        assert undeclared == []

    def test_every_json_body_has_the_declared_fields(self, answers: list[Answer]) -> None:
        components = {"components": openapi_document()["components"]}
        faults = []
        for answer in answers:
            media = media_of(answer)
            if media is not None and answer.document is not None:
                schema = {**media["schema"], **components}
                errors = Draft202012Validator(schema).iter_errors(answer.document)
                faults += [f"{answer.name}: {error.message}" for error in errors]

        assert faults == []

    def test_every_example_of_a_request_is_accepted(self, answers: list[Answer]) -> None:
        refused = [
            f"{answer.name}: {answer.response.text}"
            for answer in answers
            if answer.sent_example
            and answer.response.is_error
            and not answer.response.text.startswith(NOT_YET)
        ]

        assert refused == []
