"""Text with NUL, which PostgreSQL cannot store or compare, is refused wherever a route takes text.

A new route is tried as soon as it has a row in access.py.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from sqlalchemy import update

from app.accounts.tables import User
from tests.api.accounts.access import ACCESS, ADMIN, Route
from tests.api.accounts.asking import World, worlds

ANSWERED: Final = {
    ("GET", "/v1/events", "after"): 200,
    ("GET", "/v1/events/stream", "after"): 200,
    ("GET", "/v1/jobs/{job_id}/events/stream", "after"): 200,
    ("GET", "/v1/jobs/{job_id}/metrics", "keys"): 200,
    ("GET", "/v1/metrics", "keys"): 200,
    ("GET", "/v1/datasets/{reference}/samples", "class"): 200,
    ("POST", "/v1/datasets", "data_yaml"): 202,
}
"""Parameters that are looked up, but not in the database, so that any text is only not found."""


@pytest.fixture(scope="module")
def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for world in worlds(module_database_url, tmp_path_factory.mktemp("tenants")):
        person = world.ours.people[ADMIN]
        with world.api.database.write() as unit:
            administrator = update(User).where(User.id == person.user_id).values(is_admin=True)
            unit.session.execute(administrator)
        yield world


def text_parameters(world: World) -> list[tuple[Route, str]]:
    """Return the parameters of queries that are text, or a list of texts, of any kind."""
    paths = world.api.app.openapi()["paths"]
    return [
        (route, parameter["name"])
        for route in ACCESS
        for parameter in paths[route[1]][route[0].lower()].get("parameters", ())
        if parameter["in"] == "query" and takes_text(parameter["schema"])
    ]


def takes_text(schema: dict[str, Any]) -> bool:
    if "enum" in schema or "const" in schema:
        return False
    kinds = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    return schema.get("type") == "string" or any(map(takes_text, kinds))


def with_nul(document: Any) -> Iterator[Any]:  # noqa: ANN401 -- JSON
    """Yield the document once for each of its texts, with NUL at the end of that text."""
    if isinstance(document, str):
        yield f"{document}\0"
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from ({**document, key: changed} for changed in with_nul(value))
    elif isinstance(document, list):
        for index, item in enumerate(document):
            yield from (
                [*document[:index], changed, *document[index + 1 :]] for changed in with_nul(item)
            )


def test_every_parameter_of_a_query_refuses_nul(world: World) -> None:
    admin = world.ours.people[ADMIN]

    answers = {
        (*route, name): world.ask(route, admin.key, world.ours, admin, **{name: "a\0"}).status_code
        for route, name in text_parameters(world)
    }

    assert len(answers) > 60
    assert not_refused(answers) == ANSWERED


def test_nothing_has_a_name_with_nul(world: World) -> None:
    admin = world.ours.people[ADMIN]
    headers = {"Authorization": f"Bearer {admin.key}"}
    routes = [(method, path) for method, path in ACCESS if "{" in path]

    answers = {
        (method, path): world.api.client.request(
            method, re.sub(r"\{\w+\}", "a%00", path), headers=headers
        ).status_code
        for method, path in routes
    }

    assert len(answers) > 60
    assert answers == dict.fromkeys(routes, 404)


def test_every_text_of_a_body_refuses_nul(world: World) -> None:
    admin = world.ours.people[ADMIN]
    headers = {"Authorization": f"Bearer {admin.key}", "Content-Type": "application/json"}

    answers = {}
    for route, access in ACCESS.items():
        request = access.request(world.ours)
        if request.get("headers", {}).get("Content-Type") != "application/json":
            continue
        path = world.ours.path(route[1], admin)
        for document in with_nul(json.loads(request["content"])):
            content = json.dumps(document)
            answer = world.api.client.request(route[0], path, headers=headers, content=content)
            answers[*route, content] = answer.status_code

    assert len(answers) > 20
    assert not_refused(answers) == {
        # The answer does not tell whether a key exists.
        ("POST", "/v1/keys/revoke", '{"key": "unknown\\u0000"}'): 204,
        # A password is hashed as it is, and neither stored nor compared.
        ("PUT", "/v1/users/{reference}/password", '{"password": "quite another 7\\u0000"}'): 204,
    }


def not_refused(answers: dict[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
    return {asked: status for asked, status in answers.items() if not 400 <= status < 500}
