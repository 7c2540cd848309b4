"""Every route refuses a query parameter that it does not have, and names those that it has."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.api.browser.browsers import signed_in
from tests.api.refusals import assert_refused
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

FOR_PROBES: Final = {"/livez", "/readyz", "/version"}
"""A probe may add parameters of its own, for example against caches."""


def operations(api: Api) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return what OpenAPI says of each strict route, by method and path."""
    paths = api.app.openapi()["paths"]
    return {
        (method.upper(), path): operation
        for path, item in paths.items()
        if path not in FOR_PROBES
        for method, operation in item.items()
    }


def parameters(operation: Mapping[str, Any]) -> list[str]:
    declared = operation.get("parameters", ())
    return sorted(each["name"] for each in declared if each["in"] == "query")


def test_every_route_names_an_unknown_parameter_and_those_that_it_has(shared_api: Api) -> None:
    routes, browser = operations(shared_api), signed_in(shared_api)

    for (method, path), operation in routes.items():
        concrete = re.sub(r"\{\w+\}", "1", path)
        answer = browser.client.request(method, concrete, params={"bogus": "1"})

        assert answer.status_code == 422, (method, path, answer.text)
        assert "422" in operation["responses"], (method, path)
        if method != "HEAD":
            (error,) = answer.json()["errors"]
            assert (error["pointer"], error["code"]) == ("query/bogus", "unknown-parameter")
            assert error["message"].endswith(
                f" It has: {', '.join(parameters(operation))}."
                if parameters(operation)
                else "This route has no query parameters."
            )
    assert len(routes) > 100


def test_the_parameter_that_was_meant_is_suggested(shared_api: Api) -> None:
    answer = shared_api.client.get("/v1/jobs", params={"staet": "queued"})

    assert_refused(answer, status=422, slug="validation-error", pointer="query/staet")
    assert 'Did you mean "state"?' in answer.json()["detail"]


def test_each_unknown_parameter_is_named(shared_api: Api) -> None:
    answer = shared_api.client.get("/v1/workers?a=1&b=2&a=3")

    assert [error["pointer"] for error in answer.json()["errors"]] == ["query/a", "query/b"]


@pytest.mark.parametrize("path", sorted(FOR_PROBES))
def test_probes_may_have_parameters_of_their_own(shared_api: Api, path: str) -> None:
    assert shared_api.client.get(path, params={"time": "1"}).status_code == 200


def test_a_stranger_learns_no_names_of_parameters(shared_api: Api) -> None:
    headers = {"Authorization": "Bearer nonsense"}

    answer = shared_api.client.get("/v1/jobs", params={"bogus": "1"}, headers=headers)

    assert_refused(answer, status=401, slug="unauthenticated")
