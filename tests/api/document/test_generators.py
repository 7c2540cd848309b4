"""What makers of clients need: whole lists, open enums of answers, typed specs."""

from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from app.jobs.spec.job_spec import JobSpec, ResolvedSpec
from tests.api.document.openapi_walk import (
    JSON,
    Node,
    openapi_document,
    operations,
    resolved,
    schemas,
)

pytestmark = pytest.mark.unit

BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
ULID: Final = "01JD0000000000000000000000"


def accepts(name: str, value: object) -> bool:
    """Return whether a named schema accepts a value."""
    document = openapi_document()
    whole: dict[str, Any] = {
        "$ref": f"#/components/schemas/{name}",
        "components": document["components"],
    }
    return bool(Draft202012Validator(whole).is_valid(value))


def answer_of(operation: Node) -> Node:
    """Return the schema of the JSON answer of an operation, or nothing."""
    for status, answer in operation["responses"].items():
        if status.startswith("2") and JSON in answer.get("content", {}):
            return resolved(answer["content"][JSON]["schema"])
    return {}


class TestLists:
    def test_a_list_with_a_cursor_is_a_page_and_no_other_is(self) -> None:
        with_next = [
            each
            for each in operations()
            if "has_more" in answer_of(each.content).get("properties", {})
        ]

        wrong = [
            each.name
            for each in with_next
            if ("cursor" in {parameter["name"] for parameter in each.content.get("parameters", [])})
            != (answer_of(each.content)["properties"]["next"].get("type") != "null")
        ]

        assert len(with_next) > 20
        assert [name for name in wrong if "/events" not in name] == []

    def test_their_names_are_words(self) -> None:
        assert [name for name in openapi_document()["components"]["schemas"] if "_" in name] == []


class TestEnumerations:
    def test_a_member_of_a_later_release_is_no_error_in_an_answer(self) -> None:
        fields = openapi_document()["components"]["schemas"]["JobView"]["properties"]

        assert {"type": "string"} in fields["state"]["anyOf"]
        assert {"type": "string"} in fields["waiting_reason"]["anyOf"]

    def test_those_of_requests_are_closed(self) -> None:
        spec = {"dataset": f"ds_{ULID}", "model": "yolo26n.pt"}

        assert accepts("JobSpec", spec)
        assert not accepts("JobSpec", spec | {"task": "guess"})
        assert not accepts("JobSpec", spec | {"train": {"optimizer": "guess"}})

    def test_the_types_of_problems_are_known_and_open(self) -> None:
        kind = openapi_document()["components"]["schemas"]["Problem"]["properties"]["type"]

        assert "urn:trainyard:problem:job-not-found" in kind["anyOf"][0]["enum"]
        assert kind["anyOf"][1] == {"type": "string"}


class TestSpecs:
    @pytest.mark.parametrize(("field", "model"), [("spec", JobSpec), ("resolved", ResolvedSpec)])
    def test_they_have_the_fields_of_the_model(self, field: str, model: type[JobSpec]) -> None:
        view = openapi_document()["components"]["schemas"]["JobView"]

        stored = resolved({"$ref": view["properties"][field]["$ref"]})

        assert stored["properties"].keys() == model.model_fields.keys()

    def test_a_spec_of_another_release_is_read(self) -> None:
        spec = {
            "dataset": f"ds_{ULID}",
            "model": "yolo99n.pt",
            "later": 1,
            "train": {"optimizer": "New"},
        }

        assert accepts("StoredJobSpec", spec)

    def test_they_have_no_defaults(self) -> None:
        with_default = [
            place
            for place, schema in schemas()
            if place.startswith("Stored") and "default" in schema
        ]

        assert with_default == []


class TestWhole:
    def test_the_title_of_a_schema_is_its_name(self) -> None:
        named = openapi_document()["components"]["schemas"]

        assert [name for name, it in named.items() if it.get("title", name) != name] == []

    def test_a_single_choice_is_an_enumeration(self) -> None:
        with_const = [
            place
            for place, schema in schemas()
            if any("const" in choice for choice in schema.get("anyOf", ()))
        ]

        assert with_const == []

    def test_lines_of_json_are_bytes(self) -> None:
        # Programs would take the schema of one line for that of the whole.
        lines = [
            media["schema"]
            for each in operations()
            for media_type, media in (
                *each.request_bodies().items(),
                *((media_type, media) for _, media_type, media in each.successes()),
            )
            if media_type == "application/x-ndjson"
        ]

        assert len(lines) == 3
        assert [it for it in lines if it != {"type": "string", "format": "binary"}] == []

    def test_bounds_of_integers_are_integers(self) -> None:
        floats = [
            place
            for place, schema in schemas()
            if schema.get("type") == "integer"
            and any(isinstance(schema.get(bound), float) for bound in BOUNDS)
        ]

        assert floats == []

    def test_every_operation_declares_what_every_route_answers(self) -> None:
        lacking = [
            each.name
            for each in operations()
            if not {"405", "500"} <= each.content["responses"].keys()
        ]

        assert lacking == []

    def test_the_server_and_the_license_are_named(self) -> None:
        document = openapi_document()

        assert document["servers"] == [{"url": "/"}]
        assert document["info"]["license"]["identifier"] == "AGPL-3.0-or-later"
