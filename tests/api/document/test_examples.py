"""Every body and field of the OpenAPI document has an example, and every example is valid."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from app.main import ROUTERS
from app.openapi_examples import Examples, NoExample
from tests.api.document.openapi_walk import (
    JSON,
    Node,
    Operation,
    openapi_document,
    operations,
    resolved,
    schemas,
)

pytestmark = pytest.mark.unit


def json_bodies() -> Iterator[tuple[str, Node]]:
    """Yield the JSON body of each request and of each success, with its place.

    A range of a JSON file is no JSON value, and has no schema.
    """
    for operation in operations():
        if JSON in operation.request_bodies():
            yield f"{operation.name} request", operation.request_bodies()[JSON]
        for status, media_type, media in operation.successes():
            if media_type == JSON and media:
                yield f"{operation.name} {status}", media


def examples_of(media: Node) -> list[Any]:
    """Return the examples of a body."""
    named = [resolved(example)["value"] for example in media.get("examples", {}).values()]
    return [*named, *([media["example"]] if "example" in media else [])]


def faults_of(schema: Node, example: object) -> list[str]:
    """Return what a schema has against an example."""
    whole = {**schema, "components": openapi_document()["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(example)]


def routes_with_body() -> dict[tuple[str, str], APIRoute]:
    """Return the routes whose body is a model, by method and path."""
    routes = (route for router in ROUTERS for route in router.routes)
    return {
        (method.lower(), route.path): route
        for route in routes
        if isinstance(route, APIRoute) and route.body_field is not None
        for method in route.methods or ()
    }


def refused(operation: Operation, route: APIRoute) -> list[str]:
    """Return the errors of the route's model for the examples of an operation."""
    assert route.body_field is not None
    found = []
    for example in examples_of(operation.request_bodies()[JSON]):
        _, errors = route.body_field.validate(example, {}, loc=("body",))
        found += [f"{operation.name}: {error['loc']} {error['msg']}" for error in errors or ()]
    return found


class TestPresence:
    def test_every_json_body_has_an_example(self) -> None:
        assert [place for place, media in json_bodies() if not examples_of(media)] == []

    def test_every_field_has_an_example_or_a_type_that_gives_one(self) -> None:
        examples = Examples(openapi_document()["components"]["schemas"])
        without = []
        for place, schema in schemas():
            for name, field in schema.get("properties", {}).items():
                try:
                    examples.example_of(field, f"{place}.{name}")
                except NoExample as error:
                    without.append(str(error))

        assert without == []

    def test_a_field_without_an_example_is_named(self) -> None:
        examples = Examples({"Row": {"properties": {"size": {"type": "integer"}}}})

        with pytest.raises(NoExample, match=r"Row\.size"):
            examples.named("Row")


class TestValidity:
    def test_every_example_of_a_body_fits_its_schema(self) -> None:
        faults = [
            f"{place}: {fault}"
            for place, media in json_bodies()
            for example in examples_of(media)
            for fault in faults_of(media["schema"], example)
        ]

        assert faults == []

    def test_every_example_of_a_schema_fits_it(self) -> None:
        faults = [
            f"{place}: {fault}"
            for place, schema in schemas()
            for example in schema.get("examples", ())
            for fault in faults_of(schema, example)
        ]

        assert faults == []

    def test_every_example_of_a_parameter_fits_it(self) -> None:
        faults = [
            f"{operation.name} {parameter['name']}: {fault}"
            for operation in operations()
            for parameter in operation.content.get("parameters", ())
            for example in parameter["schema"].get("examples", ())
            for fault in faults_of(parameter["schema"], example)
        ]

        assert faults == []

    def test_every_example_of_a_request_is_accepted_by_its_model(self) -> None:
        routes = routes_with_body()

        faults = [
            fault
            for operation in operations()
            if (operation.method, operation.path) in routes
            for fault in refused(operation, routes[operation.method, operation.path])
        ]

        assert len(routes) > 15
        assert faults == []
