"""Every route requires a credential, except the few that are documented as open."""

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from app.accounts import authentication
from app.accounts.issue_key import ensure_first_key, issue_key
from app.accounts.keys import new_key
from app.accounts.tables import ApiKey, KeyKind
from app.core.database import database_now
from app.settings import Settings
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

OPEN = {"/livez", "/readyz", "/version", "/openapi.json"}


def routes_of(api: Api) -> list[tuple[str, str]]:
    paths = api.app.openapi()["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item]


class TestEveryRoute:
    def test_only_the_allow_list_answers_without_a_key(self, api: Api) -> None:
        del api.client.headers["Authorization"]

        statuses = {
            (method, path): api.client.request(method, path.format_map(_AnyId())).status_code
            for method, path in routes_of(api)
        }

        assert len(statuses) > 20
        assert {route for route, status in statuses.items() if status != 401} == {
            ("GET", path) for path in OPEN - {"/openapi.json"}
        }

    def test_the_document_names_every_route_there_is(self, api: Api) -> None:
        registered = {route.path for route in api.app.routes if isinstance(route, APIRoute)} | {
            path for _, path in routes_of(api)
        }

        assert registered <= set(api.app.openapi()["paths"])


class TestKey:
    @pytest.mark.parametrize(
        "credential",
        [
            "Bearer nonsense",
            "Bearer ",
            "Basic dXNlcjpwYXNz",
            f"Bearer {new_key(KeyKind.USER)}",
            "Bearer trainyard_user_" + "a" * 12 + "_" + "b" * 38,
        ],
        ids=["malformed", "empty", "other-scheme", "unknown", "wrong-checksum"],
    )
    def test_a_bad_credential_is_refused_without_saying_why(
        self, api: Api, credential: str
    ) -> None:
        answer = api.client.get("/v1/jobs", headers={"Authorization": credential})

        assert answer.status_code == 401
        assert answer.json()["type"] == "urn:trainyard:problem:unauthenticated"
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_a_secret_that_is_not_the_keys_is_refused(self, api: Api) -> None:
        public_id = api.key.split("_")[2]
        api.client.get("/v1/jobs")
        forged = type(new_key(KeyKind.USER))(KeyKind.USER, public_id, "x" * 32)

        answer = api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})

        assert answer.status_code == 401

    @pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
    def test_a_revoked_or_expired_key_is_refused_once_it_is_forgotten(
        self, api: Api, column: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(authentication, "CACHE_SECONDS", 0.0)
        assert api.client.get("/v1/jobs").status_code == 200
        with api.database.write() as unit:
            unit.session.execute(update(ApiKey).values(**{column: database_now()}))

        answer = api.client.get("/v1/jobs")

        assert answer.status_code == 401

    def test_a_key_without_the_scope_is_refused_by_its_name(self, api: Api) -> None:
        with api.database.write() as unit:
            unit.session.execute(update(ApiKey).values(scopes=["jobs:read"]))

        answer = api.client.post("/v1/jobs", json=api.spec())

        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:trainyard:problem:insufficient-scope"
        assert answer.json()["scope"] == "jobs:write"


class TestFirstKey:
    @pytest.mark.usefixtures("api")
    def test_only_the_owner_can_read_the_file_of_the_first_key(self, settings: Settings) -> None:
        assert (settings.home / "api-key").stat().st_mode & 0o777 == 0o600

    def test_a_second_start_keeps_the_key(self, api: Api, settings: Settings) -> None:
        ensure_first_key(api.database, settings.home)

        assert (settings.home / "api-key").read_text().strip() == api.key

    def test_a_further_key_works_as_well(self, api: Api) -> None:
        text = issue_key(api.database, label="ci")

        answer = api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {text}"})

        assert answer.status_code == 200

    def test_a_key_never_shows_its_secret(self) -> None:
        key = new_key(KeyKind.USER)

        assert key.secret not in repr(key)


class _AnyId(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "job_00000000000000000000000000"
