"""Nothing of a request is read or judged before its key and the scope of its key are known."""

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update
from starlette.requests import Request

from app.accounts.authentication import Principal, ScopeCheck
from app.accounts.keys import ALL_SCOPES
from app.accounts.tables import ApiKey
from app.core.head_checks import head_checks_of
from app.core.strict_json import OPEN_BODY_BYTES, OpenRoute, StrictRoute
from tests.api.asgi_client import AnyId, Heard, call, routes_of
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

MIB = 1024 * 1024
JSON = {"content-type": "application/json"}

HOSTILE: dict[str, tuple[dict[str, str], list[bytes]]] = {
    "A1-bad-json": (JSON | {"content-length": "1"}, [b"{"]),
    "A1-too-large": (JSON | {"content-length": str(2 * MIB)}, [b" " * MIB] * 2),
    "A1-endless-chunks": (JSON | {"transfer-encoding": "chunked"}, [b" " * MIB] * 8),
    "A1-bad-accept": (JSON | {"accept": "image/nothing", "content-length": "2"}, [b"{}"]),
    "A1-unknown-media-type": ({"content-type": "a/b", "content-length": "2"}, [b"{}"]),
    "A1-no-media-type": ({"content-length": "2"}, [b"{}"]),
    "A1-nested": (JSON | {"content-length": "100000"}, [b"[" * 100_000]),
    "A1-expects-100": (JSON | {"expect": "100-continue", "content-length": "9"}, [b"123456789"]),
    "A1-other-tus": ({"tus-resumable": "9", "content-length": "2"}, [b"ab"]),
}


class TestStrangers:
    @pytest.mark.parametrize(
        ("row", "credential"),
        [
            *((row, "") for row in HOSTILE),
            ("A1-bad-json", "Bearer nonsense"),
            ("A1-too-large", "Basic YTpi"),
        ],
    )
    def test_a_stranger_gets_401_from_every_route_and_nothing_of_the_body_is_read(
        self, shared_api: Api, row: str, credential: str
    ) -> None:
        headers, body = HOSTILE[row]
        own = headers | ({"authorization": credential} if credential else {})

        heard = {
            (method, path): call(
                shared_api, method, path, own, body, client=(f"10.0.0.{number}", 5)
            )
            for number, (method, path, _) in enumerate(routes_of(shared_api))
        }

        assert len(heard) > 50
        assert unlike(heard, status=401, slug="unauthenticated") == []

    def test_every_route_but_the_open_ones_has_a_head_check(self, shared_api: Api) -> None:
        unguarded = [
            path for _, path, route in routes_of(shared_api) if not head_checks_of(route.dependant)
        ]

        assert unguarded == []

    def test_every_route_that_reads_a_body_is_a_strict_one(self, shared_api: Api) -> None:
        loose = [
            route.path
            for route in shared_api.app.state.routes
            if isinstance(route, APIRoute) and route.body_field is not None
            if not isinstance(route, StrictRoute)
        ]

        assert loose == []


class TestNarrowKeys:
    @pytest.fixture
    def without_scopes(self, shared_api: Api) -> Iterator[dict[str, str]]:
        with shared_api.database.write() as unit:
            unit.session.execute(update(ApiKey).values(scopes=[]))
        yield {"authorization": f"Bearer {shared_api.key}"}
        with shared_api.database.write() as unit:
            unit.session.execute(update(ApiKey).values(scopes=list(ALL_SCOPES)))

    @pytest.mark.parametrize("row", ["A1-endless-chunks", "A1-bad-accept"])
    def test_a_key_without_the_scope_gets_403_and_nothing_of_the_body_is_read(
        self, shared_api: Api, without_scopes: dict[str, str], row: str
    ) -> None:
        headers, body = HOSTILE[row]

        heard = {
            (method, path): call(shared_api, method, path, without_scopes | headers, body)
            for method, path, route in routes_of(shared_api)
            if any(isinstance(check, ScopeCheck) for check in head_checks_of(route.dependant))
        }

        assert len(heard) > 50
        assert unlike(heard, status=403, slug="insufficient-scope") == []


class TestTheNextRequest:
    def test_a_caller_is_not_remembered_from_one_request_to_the_next(self, shared_api: Api) -> None:
        good = {"authorization": f"Bearer {shared_api.key}"}

        statuses = [
            call(shared_api, "GET", "/v1/jobs", headers).status for headers in (good, {}, good)
        ]

        assert statuses == [200, 401, 200]

    def test_a_key_is_looked_up_once_for_one_request(
        self, shared_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authenticator = shared_api.app.state.authenticator
        original, looked_up = authenticator.caller_of, []

        async def caller_of(request: Request) -> Principal:
            looked_up.append(request.url.path)
            principal: Principal = await original(request)
            return principal

        monkeypatch.setattr(authenticator, "caller_of", caller_of)

        shared_api.client.get("/v1/datasets")

        assert looked_up == ["/v1/datasets"]


class TestOpenRoutes:
    def test_only_signing_in_set_up_and_logins_are_open_to_a_body(self, shared_api: Api) -> None:
        routes = [each for each in shared_api.app.state.routes if isinstance(each, OpenRoute)]
        posted = [route for route in routes if "POST" in (route.methods or ())]

        opened = {route.path.removeprefix("/v1").split("/")[1] for route in posted}
        assert opened == {"session", "setup", "sign-in", "logins"}

    def test_a_body_above_4_kib_is_refused_unparsed(self, shared_api: Api) -> None:
        document = b"[" * (OPEN_BODY_BYTES + 1)

        statuses = {
            route.path: call(
                shared_api,
                method,
                route.path_format.format_map(AnyId()),
                JSON | {"content-length": str(len(document)), "origin": "http://localhost"},
                [document],
            ).status
            for route in shared_api.app.state.routes
            if isinstance(route, OpenRoute)
            for method in route.methods or ()
            if method == "POST"
        }

        assert set(statuses.values()) == {413}, statuses


class TestRouteClasses:
    def test_a_route_without_a_head_check_cannot_be_made(self) -> None:
        def sign_in() -> None: ...

        with pytest.raises(TypeError, match="requires a credential"):
            StrictRoute("/v1/sign-in", sign_in, methods=["POST"])

    @pytest.mark.parametrize(
        ("length", "status"), [(OPEN_BODY_BYTES, 200), (OPEN_BODY_BYTES + 1, 413)]
    )
    def test_the_body_of_an_open_route_is_small(self, api: Api, length: int, status: int) -> None:
        def sign_in(body: dict[str, str]) -> dict[str, int]:
            return {"names": len(body)}

        api.app.router.routes.append(OpenRoute("/v1/sign-in", sign_in, methods=["POST"]))
        document = b'{"name": "' + b"a" * (length - 12) + b'"}'

        announced = api.client.post("/v1/sign-in", content=document, headers=JSON)
        in_chunks = api.client.post("/v1/sign-in", content=iter([document]), headers=JSON)

        assert (announced.status_code, in_chunks.status_code) == (status, status)


def unlike(heard: dict[tuple[str, str], Heard], *, status: int, slug: str) -> list[object]:
    """Return the answers that are not this problem, read the body, or keep the connection."""
    return [
        (route, each)
        for route, each in heard.items()
        if (each.status, each.slug, each.reads) != (status, slug, 0)
        or each.headers.get("connection") != "close"
    ]
