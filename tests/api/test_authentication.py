"""Every route requires a credential, except the few that are documented as open."""

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from app.accounts.issue_key import ensure_first_key, issue_key
from app.accounts.keys import KeyText, new_key, parse_key
from app.accounts.tables import ApiKey, KeyKind, User
from app.core.database import database_now
from app.settings import Settings
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite

OPEN = {"/livez", "/readyz", "/version", "/openapi.json"}
WAYS_IN = {
    ("POST", "/session"),
    ("GET", "/session/links/{token}"),
    ("POST", "/session/links/{token}"),
    ("POST", "/v1/logins"),
    ("POST", "/v1/logins/poll"),
    ("GET", "/setup/{token}"),
    ("POST", "/setup/{token}"),
}


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
            *(("GET", path) for path in OPEN - {"/openapi.json"}),
            *WAYS_IN,
        }
        assert {statuses[route] for route in WAYS_IN} == {400, 403, 410, 415}

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

    @pytest.mark.parametrize("place", [0, 1])
    def test_a_key_beside_another_credential_is_refused(self, api: Api, place: int) -> None:
        headers = [("Authorization", "Basic dXNlcjpwYXNz")]
        headers.insert(place, ("Authorization", f"Bearer {api.key}"))
        del api.client.headers["Authorization"]

        answer = api.client.get("/v1/me", headers=headers)

        assert answer.status_code == 401

    def test_a_secret_that_is_not_the_keys_is_refused(self, api: Api) -> None:
        public_id = api.key.split("_")[2]
        api.client.get("/v1/jobs")
        forged = type(new_key(KeyKind.USER))(KeyKind.USER, public_id, "x" * 32)

        answer = api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})

        assert answer.status_code == 401

    @pytest.mark.parametrize("kind", [KeyKind.WORKER, KeyKind.SERVICE])
    def test_a_key_whose_kind_was_exchanged_is_refused(self, api: Api, kind: KeyKind) -> None:
        key = parse_key(api.key)
        assert key is not None
        forged = KeyText(kind, key.public_id, key.secret)

        answer = api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})

        assert answer.status_code == 401

    def test_a_key_of_an_earlier_release_still_works(self, api: Api) -> None:
        key = parse_key(api.key)
        assert key is not None
        with api.database.write() as unit:
            unit.session.execute(
                update(ApiKey).values(key_sha256=None, secret_sha256=key.secret_sha256)
            )

        answer = api.client.get("/v1/jobs")

        assert answer.status_code == 200

    def test_the_kind_of_a_key_of_an_earlier_release_is_checked(self, api: Api) -> None:
        key = parse_key(api.key)
        assert key is not None
        with api.database.write() as unit:
            unit.session.execute(
                update(ApiKey).values(key_sha256=None, secret_sha256=key.secret_sha256)
            )
        forged = KeyText(KeyKind.SERVICE, key.public_id, key.secret)

        answer = api.client.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})

        assert answer.status_code == 401

    def test_the_keys_of_a_disabled_user_are_refused(self, api: Api) -> None:
        with api.database.write() as unit:
            unit.session.execute(update(User).values(disabled_at=database_now()))

        answer = api.client.get("/v1/jobs")

        assert answer.status_code == 401

    @pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
    def test_a_revoked_or_expired_key_is_refused_at_once(self, api: Api, column: str) -> None:
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
