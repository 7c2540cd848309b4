"""The OpenAPI document: what FastAPI makes of the routes, completed by what only we know."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from threading import Lock
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from app.core.declared_headers import ON_EVERY_ANSWER, header_components
from app.core.problems import Problem, responses_for
from app.openapi_examples import add_examples
from app.openapi_schemas import complete_schemas
from app.stream.messages import message_schemas

TAGS: Final = {
    "operations": "Whether the server works, and its version. Without a credential.",
    "sessions": "Sign-in by name and password, logins of programs, and the caller.",
    "jobs": "Trainings: submit, follow, steer, and read what they produced.",
    "events": "What happens in the caller's projects, by polling and as a stream.",
    "datasets": "Datasets, their versions, and what their verification found.",
    "uploads": "Resumable uploads by tus 1.0. Answers also have `Tus-Resumable` and `Tus-Version`.",
    "models": "Architectures and weights that a job can start from.",
    "workers": "The slots of all workers, and their trainer plugins.",
    "audit": "Who changed what.",
    "keys": "API keys.",
    "users": "The people who use this instance.",
    "projects": "The owners of jobs and datasets, and their members.",
    "quotas": "What projects and users may use.",
    "webhooks": "URLs to which the events of a project are sent.",
}
"""What each group of operations is about."""
LICENSE: Final = {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"}
UNUSED: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's own schemas of errors, which no answer has."""


def operation_id(route: APIRoute) -> str:
    """Name an operation after its handler; the HEAD of a GET route gets a separate id."""
    return f"{route.name}_head" if route.methods == {"HEAD"} else route.name


def complete_document(app: FastAPI) -> None:
    """Make `app.openapi()` return the complete document."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            _add_schemas(document.setdefault("components", {}).setdefault("schemas", {}))
            document["info"]["description"] = _introduction()
            document["tags"] = [{"name": name, "description": it} for name, it in TAGS.items()]
            document["components"]["headers"] = header_components()
            document["info"]["license"] = LICENSE
            document["servers"] = [{"url": app.state.path_prefix or "/"}]
            _add_answers_of_all(document)
            complete_schemas(document)
            add_examples(document, operations_of(document))
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document_route(app: FastAPI) -> Callable[[Request], Response]:
    """Return a handler for the document, which takes a second to make.

    It is made in a thread, once. FastAPI's own handler would make it in the event loop.
    """
    making = Lock()

    @cache
    def document() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False).encode()

    def show_document(_: Request) -> Response:
        with making:
            content = document()
        return Response(content, media_type="application/json")

    return show_document


def operations_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every operation of a document."""
    for methods in document["paths"].values():
        yield from methods.values()


def _introduction() -> str:
    headers = "".join(f"\n- `{name}`: {meaning}" for name, meaning in ON_EVERY_ANSWER.items())
    return f"Every answer has these headers, which operations do not declare again:\n{headers}"


def _add_schemas(schemas: dict[str, Any]) -> None:
    for name in UNUSED:
        schemas.pop(name, None)
    schemas |= _problem_schemas() | message_schemas()
    schemas["JsonValue"]["description"] = "Any JSON value."


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.pop("$defs", {})
    return {**parts, "Problem": schema}


def _add_answers_of_all(document: dict[str, Any]) -> None:
    """Add what every route can answer: a fault of ours and, with a credential, too many requests.

    Before any route, a request can have come too slowly (408) or with too large a head (431).
    A path answers every other method with 405, which has no operation of its own; so each operation
    of the path declares it.
    """
    of_all = {str(status): answer for status, answer in responses_for(405, 408, 431, 500).items()}
    too_fast = {str(status): answer for status, answer in responses_for(429).items()}
    for operation in operations_of(document):
        added = of_all | (too_fast if operation.get("security") else {})
        operation["responses"] = added | operation["responses"]
