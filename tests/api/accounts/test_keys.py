"""Keys over HTTP: who creates, sees, rotates and revokes which key."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from app.accounts.keys import ALL_SCOPES
from app.accounts.tables import MemberRole, Project
from app.audit.tables import AuditRecord
from app.core.database import Database
from app.main import create_app
from tests.worlds.accounts import Caller, Person, a_key, a_person, a_project
from tests.worlds.server import Api, on, serving

KEY = {"label": "ci", "scopes": ["jobs:read", "keys:read"]}
HOUR = 3600


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of this module; each makes its own users."""
    yield from serving(on(module_database_url, tmp_path_factory.mktemp("keys") / "home"))


@pytest.fixture
def by(api: Api) -> Callable[[Person], Caller]:
    return lambda person: Caller(api.client, person)


@pytest.fixture
def caller(api: Api, by: Callable[[Person], Caller]) -> Caller:
    """A user without roles, with a key of all scopes."""
    return by(a_person(api.database))


def made(caller: Caller, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = caller.post("/v1/keys", json=KEY | changes)
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


def works(api: Api, text: str) -> bool:
    answer = api.client.get("/v1/keys", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def listed(caller: Caller) -> set[str]:
    return {view["id"] for view in caller.get("/v1/keys", params={"limit": 200}).json()["data"]}


def changes_of(database: Database, public_id: str) -> list[str]:
    with database.read() as unit:
        statement = select(AuditRecord.action).where(AuditRecord.target == public_id)
        return list(unit.session.scalars(statement.order_by(AuditRecord.id)))


class TestCreate:
    def test_a_new_key_works_and_its_text_is_shown_once(self, api: Api, caller: Caller) -> None:
        new = made(caller)

        again = caller.get(f"/v1/keys/{new['id']}").json()
        assert works(api, new["key"])
        assert new["key"].startswith(new["prefix"])
        assert again == {name: value for name, value in new.items() if name != "key"}
        assert (again["never_expires"], again["expires_at"]) == (True, None)
        assert again["owner"] == caller.person.name

    def test_a_new_key_is_recorded_with_who_made_it(self, api: Api, caller: Caller) -> None:
        public_id = made(caller)["prefix"].split("_")[2]

        with api.database.read() as unit:
            statement = select(AuditRecord).where(AuditRecord.target == public_id)
            record = unit.session.scalars(statement).one()
        assert (record.action, record.user_name) == ("key.created", caller.person.name)
        assert record.credential == caller.person.public_id
        assert record.details["label"] == "ci"

    def test_a_key_never_gets_a_scope_that_its_maker_lacks(
        self, api: Api, by: Callable[[Person], Caller]
    ) -> None:
        narrow = by(a_person(api.database, scopes=["keys:write", "jobs:read"]))

        answer = narrow.post(
            "/v1/keys", json={"label": "x", "scopes": ["jobs:read", "users:write"]}
        )

        assert answer.status_code == 403
        assert (answer.json()["type"], answer.json()["scope"]) == (
            "urn:trainyard:problem:insufficient-scope",
            "users:write",
        )

    def test_a_key_for_one_project_makes_keys_for_that_project_only(
        self, api: Api, by: Callable[[Person], Caller]
    ) -> None:
        ours, other = a_project(api.database), a_project(api.database)
        roles = {ours: MemberRole.MEMBER, other: MemberRole.MEMBER}
        person = a_person(api.database, roles, bound_to=ours)
        name_of_other = project_name(api.database, other)

        new = made(by(person))
        refusal = by(person).post("/v1/keys", json=KEY | {"project": name_of_other})

        assert new["project"] == project_name(api.database, ours)
        assert (refusal.status_code, refusal.json()["errors"][0]["pointer"]) == (422, "/project")

    def test_a_key_does_not_outlive_the_key_that_made_it(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        _, text = a_key(api.database, caller.person.user_id, lifetime=timedelta(hours=1))
        brief = by(replace(caller.person, key=text))

        ends = [
            datetime.fromisoformat(made(brief, expires_in_seconds=seconds)["expires_at"])
            for seconds in (None, 48 * HOUR, 60)
        ]

        assert ends[0] == ends[1] > ends[2]

    def test_a_key_ends_when_it_should(self, caller: Caller) -> None:
        new = made(caller, expires_in_seconds=HOUR)

        created, ends = (datetime.fromisoformat(new[name]) for name in ("created_at", "expires_at"))
        assert timedelta(0) <= ends - created - timedelta(hours=1) < timedelta(minutes=5)
        assert new["never_expires"] is False

    @pytest.mark.mostly_sqlite
    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"label": ""}, "/label"),
            ({"label": "a\u001b[2J"}, "/label"),
            ({"label": "a\u202eb"}, "/label"),
            ({"label": "a\u200bb"}, "/label"),
            ({"scopes": []}, "/scopes"),
            ({"scopes": ["root"]}, "/scopes/0"),
            ({"project": "unknown"}, "/project"),
            ({"expires_in_seconds": 1}, "/expires_in_seconds"),
            ({"expires_in_seconds": "60"}, "/expires_in_seconds"),
            ({"owner": "owner"}, "/owner"),
            ({"kind": "worker"}, "/kind"),
        ],
        ids=str,
    )
    def test_a_wrong_field_is_named(
        self, caller: Caller, changes: dict[str, Any], pointer: str
    ) -> None:
        answer = caller.post("/v1/keys", json=KEY | changes)

        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


class TestSee:
    def test_a_user_sees_their_own_keys_only(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        other = by(a_person(api.database))
        new = made(caller)

        assert listed(caller) == {new["id"], caller.person.key_id}
        assert other.get(f"/v1/keys/{new['id']}").status_code == 404
        assert other("DELETE", f"/v1/keys/{new['id']}").status_code == 404
        assert works(api, new["key"])

    def test_an_admin_of_a_project_sees_and_revokes_the_keys_bound_to_it(
        self, api: Api, by: Callable[[Person], Caller]
    ) -> None:
        project = a_project(api.database)
        admin = by(a_person(api.database, {project: MemberRole.ADMIN}))
        member = a_person(api.database, {project: MemberRole.MEMBER}, bound_to=project)
        free = a_person(api.database, {project: MemberRole.MEMBER})

        seen = listed(admin)
        answer = admin("DELETE", f"/v1/keys/{member.key_id}")

        assert member.key_id in seen
        assert free.key_id not in seen
        assert (answer.status_code, works(api, member.key)) == (204, False)

    def test_a_key_for_one_project_does_not_see_other_keys_of_its_user(
        self, api: Api, by: Callable[[Person], Caller]
    ) -> None:
        project = a_project(api.database)
        person = a_person(api.database, {project: MemberRole.VIEWER}, bound_to=project)
        a_key(api.database, person.user_id)

        assert listed(by(person)) == {person.key_id}

    def test_an_administrator_sees_every_key(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        administrator = by(a_person(api.database, is_admin=True))

        assert administrator.get(f"/v1/keys/{caller.person.key_id}").status_code == 200

    def test_a_key_for_one_project_administers_nothing(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        project = a_project(api.database)
        roles = {project: MemberRole.ADMIN}
        bound = by(a_person(api.database, roles, is_admin=True, bound_to=project))

        assert bound.get(f"/v1/keys/{caller.person.key_id}").status_code == 404

    def test_pages_of_keys_have_every_key_once(self, caller: Caller) -> None:
        expected = {made(caller)["id"] for _ in range(4)} | {caller.person.key_id}

        found: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = caller.get("/v1/keys", params=query).json()
            found += [view["id"] for view in page["data"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert (len(found), set(found)) == (5, expected)

    @pytest.mark.parametrize("reference", ["key_1", "%00", "a" * 300, "trainyard_user_" + "a" * 38])
    def test_text_that_names_no_key_is_not_found(self, caller: Caller, reference: str) -> None:
        assert caller.get(f"/v1/keys/{reference}").status_code == 404

    def test_a_key_is_found_by_the_prefix_that_lists_show(self, caller: Caller) -> None:
        new = made(caller)

        assert caller.get(f"/v1/keys/{new['prefix']}").json()["id"] == new["id"]


class TestRotate:
    def test_both_keys_work_until_the_overlap_is_over(self, api: Api, caller: Caller) -> None:
        old = made(caller)

        new = caller.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 60}).json()

        after = caller.get(f"/v1/keys/{old['id']}").json()
        assert (works(api, old["key"]), works(api, new["key"])) == (True, True)
        assert (new["replaces"], new["scopes"], new["label"]) == (old["id"], old["scopes"], "ci")
        assert (new["never_expires"], after["never_expires"]) == (True, False)

    def test_without_an_overlap_the_old_key_ends_at_once(self, api: Api, caller: Caller) -> None:
        old = made(caller)

        new = caller.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 0}).json()

        assert (works(api, old["key"]), works(api, new["key"])) == (False, True)

    def test_a_key_can_rotate_itself_and_keeps_its_lifetime(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        lifetime = timedelta(hours=1)
        key_id, text = a_key(api.database, caller.person.user_id, lifetime=lifetime)

        brief = by(replace(caller.person, key=text))
        new = brief.post(f"/v1/keys/{key_id}/rotate", json={"overlap_seconds": 60}).json()

        created, ends = (datetime.fromisoformat(new[name]) for name in ("created_at", "expires_at"))
        assert timedelta(0) <= ends - created - lifetime < timedelta(minutes=5)

    def test_a_narrow_key_cannot_get_a_wider_one_by_rotating_it(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        _, text = a_key(api.database, caller.person.user_id, scopes=["keys:write"])
        narrow = by(replace(caller.person, key=text))

        answer = narrow.post(f"/v1/keys/{caller.person.key_id}/rotate", json={})

        assert (answer.status_code, answer.json()["scope"]) == (403, min(ALL_SCOPES))

    def test_a_key_that_expires_cannot_get_one_that_lives_longer_by_rotating_it(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        _, text = a_key(api.database, caller.person.user_id, lifetime=timedelta(hours=1))
        brief = by(replace(caller.person, key=text))

        new = brief.post(f"/v1/keys/{caller.person.key_id}/rotate", json={}).json()

        assert new["expires_at"] is not None

    def test_nobody_gets_the_key_of_another_user_by_rotating_it(
        self, api: Api, by: Callable[[Person], Caller], caller: Caller
    ) -> None:
        administrator = by(a_person(api.database, is_admin=True))

        answer = administrator.post(f"/v1/keys/{caller.person.key_id}/rotate", json={})

        assert (answer.status_code, answer.json()["type"]) == (
            403,
            "urn:trainyard:problem:not-your-key",
        )

    def test_a_key_is_rotated_once(self, caller: Caller) -> None:
        old = made(caller)
        new = caller.post(f"/v1/keys/{old['id']}/rotate", json={}).json()

        answer = caller.post(f"/v1/keys/{old['id']}/rotate", json={})

        assert (answer.status_code, answer.json()["key"]) == (409, new["id"])

    def test_a_revoked_key_cannot_be_rotated(self, caller: Caller) -> None:
        old = made(caller)
        caller("DELETE", f"/v1/keys/{old['id']}")

        answer = caller.post(f"/v1/keys/{old['id']}/rotate", json={})

        assert answer.json()["type"] == "urn:trainyard:problem:key-ended"


class TestRevoke:
    def test_a_revoked_key_is_refused_on_every_server(
        self, api: Api, caller: Caller, tmp_path: Path, module_database_url: str
    ) -> None:
        new = made(caller)
        for second in serving_again(module_database_url, tmp_path / "second"):
            before = works(second, new["key"])

            caller("DELETE", f"/v1/keys/{new['id']}")

            assert (before, works(second, new["key"]), works(api, new["key"])) == (
                True,
                False,
                False,
            )

    def test_a_second_revocation_changes_nothing(self, api: Api, caller: Caller) -> None:
        new = made(caller)
        caller("DELETE", f"/v1/keys/{new['id']}")
        revoked_at = caller.get(f"/v1/keys/{new['id']}").json()["revoked_at"]

        answer = caller("DELETE", f"/v1/keys/{new['id']}")

        assert answer.status_code == 204
        assert caller.get(f"/v1/keys/{new['id']}").json()["revoked_at"] == revoked_at
        public_id = new["prefix"].split("_")[2]
        assert changes_of(api.database, public_id) == ["key.created", "key.revoked"]

    def test_whoever_finds_a_key_can_revoke_it_with_it(
        self, api: Api, by: Callable[[Person], Caller]
    ) -> None:
        found = a_person(api.database, scopes=[])

        answer = by(found).post("/v1/keys/revoke", json={"key": found.key})

        assert (answer.status_code, works(api, found.key)) == (204, False)

    def test_a_key_cannot_be_revoked_by_a_part_of_its_text(self, api: Api, caller: Caller) -> None:
        other = a_person(api.database)
        forged = other.key[:28] + caller.person.key[28:]

        answers = [
            caller.post("/v1/keys/revoke", json={"key": text}).status_code
            for text in (forged, other.public_id, other.key[:-6], "")
        ]

        assert answers == [204, 204, 204, 204]
        assert works(api, other.key)


class TestLastUse:
    def test_the_last_use_is_written_apart_from_requests(self, api: Api, caller: Caller) -> None:
        before = caller.get(f"/v1/keys/{caller.person.key_id}").json()["last_used_at"]

        api.app.state.authenticator._uses.write()

        view = caller.get(f"/v1/keys/{caller.person.key_id}").json()
        assert before is None
        assert view["last_used_at"] >= view["created_at"]

    def test_a_key_that_was_refused_is_not_used(self, api: Api, caller: Caller) -> None:
        new = made(caller)
        caller("DELETE", f"/v1/keys/{new['id']}")
        assert not works(api, new["key"])

        api.app.state.authenticator._uses.write()

        assert caller.get(f"/v1/keys/{new['id']}").json()["last_used_at"] is None


def serving_again(url: str, home: Path) -> Iterator[Api]:
    """Run a second server on the same database."""
    app = create_app(on(url, home))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield Api(app, client, None, "")  # type: ignore[arg-type]


def project_name(database: Database, project_id: str) -> str:
    with database.read() as unit:
        return unit.session.scalars(select(Project.name).where(Project.id == project_id)).one()
