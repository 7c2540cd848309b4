"""Projects and members over HTTP: who creates, sees and changes them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from app.accounts.tables import MemberRole
from app.audit.tables import AuditRecord
from app.projects import contents
from app.quotas.repository import Quota, set_limits
from app.quotas.tables import Usage
from tests.worlds.accounts import Caller, Person, a_person, a_project
from tests.worlds.rows import Rows, a_dataset, a_job
from tests.worlds.server import Api, on, serving

VIEWER, MEMBER, ADMIN = MemberRole


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of this module; each makes its own projects."""
    yield from serving(on(module_database_url, tmp_path_factory.mktemp("projects") / "home"))


@pytest.fixture
def by(api: Api) -> Callable[[Person], Caller]:
    return lambda person: Caller(api.client, person)


@pytest.fixture
def administrator(api: Api, by: Callable[[Person], Caller]) -> Caller:
    return by(a_person(api.database, is_admin=True))


@pytest.fixture
def project(api: Api) -> str:
    return a_project(api.database)


@pytest.fixture
def admin(api: Api, by: Callable[[Person], Caller], project: str) -> Caller:
    """The only admin of the project."""
    return by(a_person(api.database, {project: ADMIN}))


def put(caller: Caller, project: str, person: Person, role: MemberRole) -> Any:  # noqa: ANN401
    path = f"/v1/projects/{project}/members/{person.name}"
    return caller("PUT", path, json={"role": role})


def members(caller: Caller, project: str) -> dict[str, str]:
    page = caller.get(f"/v1/projects/{project}/members").json()
    return {view["user"]: view["role"] for view in page["data"]}


def recorded(api: Api, project: str) -> list[str]:
    with api.database.read() as unit:
        statement = select(AuditRecord.action).where(AuditRecord.project_id == project)
        return list(unit.session.scalars(statement.order_by(AuditRecord.id)))


class TestProjects:
    def test_the_administrator_who_creates_a_project_is_its_admin(
        self, api: Api, administrator: Caller
    ) -> None:
        created = administrator.post("/v1/projects", json={"name": "blood-cells"})

        view = created.json()
        assert (created.status_code, view["role"], view["members"]) == (201, "admin", 1)
        assert administrator.get(created.headers["Location"]).json() == view
        assert administrator.get("/v1/projects/blood-cells").json() == view
        assert recorded(api, view["id"]) == ["project.created", "member.added"]

    def test_a_name_is_taken_once(self, administrator: Caller) -> None:
        answer = administrator.post("/v1/projects", json={"name": "default"})

        assert answer.json()["type"] == "urn:trainyard:problem:name-taken"

    def test_members_see_their_projects_and_administrators_all(
        self, api: Api, by: Callable[[Person], Caller], project: str, administrator: Caller
    ) -> None:
        viewer = by(a_person(api.database, {project: VIEWER}))

        own = viewer.get("/v1/projects").json()["data"]
        every = administrator.get("/v1/projects", params={"limit": 200}).json()["data"]

        assert [(view["id"], view["role"]) for view in own] == [(project, "viewer")]
        assert project in {view["id"] for view in every}

    def test_a_project_counts_its_contents(
        self, api: Api, admin: Caller, project: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with api.database.write() as unit:
            ids = a_dataset(unit.session, project, admin.person.user_id)
        rows = Rows(admin.person.user_id, project, *ids)
        for _ in range(3):
            a_job(api.database, rows)

        view = admin.get(f"/v1/projects/{project}").json()
        monkeypatch.setattr(contents, "MAX_COUNT", 2)
        at_most = admin.get(f"/v1/projects/{project}").json()

        assert [view[name] for name in ("jobs", "datasets", "members")] == [3, 1, 1]
        assert at_most["jobs"] == 2

    def test_a_project_shows_its_stored_bytes_and_their_limit(
        self, api: Api, administrator: Caller, project: str
    ) -> None:
        def shown() -> list[int | None]:
            view = administrator.get(f"/v1/projects/{project}").json()
            assert view in administrator.get("/v1/projects").json()["data"]
            return [view["stored_bytes"], view["quota_bytes"]]

        before = shown()
        with api.database.write() as unit:
            set_limits(unit.session, project, {Quota.STORED_BYTES: 2**41})
            used = update(Usage).where(Usage.subject_id == project)
            unit.session.execute(used.values(stored_bytes=2**40))

        assert before == [0, None]
        assert shown() == [2**40, 2**41]

    def test_an_archived_project_is_read_until_it_is_restored(
        self, api: Api, admin: Caller, project: str, administrator: Caller
    ) -> None:
        path = f"/v1/projects/{project}"
        archived = administrator("PATCH", path, json={"archived": True}).json()
        refused = put(admin, project, a_person(api.database), VIEWER)
        read = members(admin, project)

        restored = administrator("PATCH", path, json={"archived": False}).json()

        assert (archived["archived_at"] is None, restored["archived_at"]) == (False, None)
        assert refused.json()["type"] == "urn:trainyard:problem:project-archived"
        assert read == {admin.person.name: "admin"}
        assert recorded(api, project) == ["project.archived", "project.restored"]

    def test_a_renamed_project_keeps_what_it_has(
        self, admin: Caller, project: str, administrator: Caller
    ) -> None:
        answer = administrator("PATCH", f"/v1/projects/{project}", json={"name": "renamed"})

        assert answer.status_code == 200
        assert admin.get("/v1/projects/renamed").json()["id"] == project


class TestMembers:
    def test_a_member_gets_access_with_the_next_request_and_loses_it(
        self, api: Api, by: Callable[[Person], Caller], admin: Caller, project: str
    ) -> None:
        person = a_person(api.database)
        path = f"/v1/projects/{project}"
        statuses = [by(person).get(path).status_code]

        put(admin, project, person, VIEWER)
        statuses.append(by(person).get(path).status_code)
        admin("DELETE", f"{path}/members/{person.user_id}")
        statuses.append(by(person).get(path).status_code)

        assert statuses == [404, 200, 404]
        assert recorded(api, project) == ["member.added", "member.removed"]

    def test_a_role_is_changed_in_place(self, api: Api, admin: Caller, project: str) -> None:
        person = a_person(api.database)

        answers = [put(admin, project, person, role).json() for role in (VIEWER, ADMIN, ADMIN)]

        assert [answer["role"] for answer in answers] == ["viewer", "admin", "admin"]
        assert members(admin, project)[person.name] == "admin"
        assert recorded(api, project) == ["member.added", "member.changed"]

    def test_an_administrator_can_become_a_member_and_that_is_recorded(
        self, api: Api, project: str, administrator: Caller
    ) -> None:
        put(administrator, project, administrator.person, MEMBER)

        assert members(administrator, project) == {administrator.person.name: "member"}
        assert recorded(api, project) == ["member.added"]

    @pytest.mark.parametrize("act", ["demote", "remove"])
    def test_the_last_admin_of_a_project_stays(
        self, api: Api, admin: Caller, project: str, act: str
    ) -> None:
        put(admin, project, a_person(api.database), MEMBER)

        path = f"/v1/projects/{project}/members/{admin.person.name}"
        method, more = ("PUT", {"json": {"role": "viewer"}}) if act == "demote" else ("DELETE", {})
        answer = admin(method, path, **more)

        assert (answer.status_code, answer.json()["type"]) == (
            409,
            "urn:trainyard:problem:last-project-admin",
        )

    def test_an_administrator_can_remove_the_last_admin(
        self, admin: Caller, project: str, administrator: Caller
    ) -> None:
        answer = administrator("DELETE", f"/v1/projects/{project}/members/{admin.person.name}")

        assert (answer.status_code, members(administrator, project)) == (204, {})

    def test_an_admin_can_leave_when_there_is_another_one(
        self, api: Api, admin: Caller, project: str
    ) -> None:
        put(admin, project, a_person(api.database), ADMIN)

        answer = admin("DELETE", f"/v1/projects/{project}/members/{admin.person.name}")

        assert answer.status_code == 204

    @pytest.mark.parametrize("user", ["nobody", "usr_" + "0" * 26, "a b", "a%0A"])
    def test_an_unknown_user_becomes_no_member(
        self, admin: Caller, project: str, user: str
    ) -> None:
        path = f"/v1/projects/{project}/members/{user}"

        answers = [admin("PUT", path, json={"role": "viewer"}), admin("DELETE", path)]

        assert {answer.json()["type"] for answer in answers} == {
            "urn:trainyard:problem:user-not-found"
        }

    def test_a_user_who_is_no_member_is_not_found_among_them(
        self, api: Api, admin: Caller, project: str
    ) -> None:
        path = f"/v1/projects/{project}/members/{a_person(api.database).name}"

        answers = [admin.get(path), admin("DELETE", path)]

        assert [answer.status_code for answer in answers] == [404, 404]

    def test_a_member_does_not_learn_which_users_there_are(
        self, api: Api, by: Callable[[Person], Caller], project: str
    ) -> None:
        viewer = by(a_person(api.database, {project: VIEWER}))
        names = [a_person(api.database).name, "nobody"]

        answers = [viewer.get(f"/v1/projects/{project}/members/{name}").json() for name in names]

        assert [answer["type"] for answer in answers] == [
            "urn:trainyard:problem:member-not-found"
        ] * 2

    def test_a_key_for_one_project_ends_with_the_membership(
        self, api: Api, by: Callable[[Person], Caller], admin: Caller, project: str
    ) -> None:
        person = a_person(api.database, {project: MEMBER}, bound_to=project)
        admin("DELETE", f"/v1/projects/{project}/members/{person.name}")

        assert by(person).get("/v1/projects").json()["data"] == []

    def test_members_are_paged_by_name(self, api: Api, admin: Caller, project: str) -> None:
        for _ in range(3):
            put(admin, project, a_person(api.database), VIEWER)
        path = f"/v1/projects/{project}/members"

        first = admin.get(path, params={"limit": 2}).json()
        second = admin.get(path, params={"limit": 2, "cursor": first["next"]}).json()

        names = [view["user"] for page in (first, second) for view in page["data"]]
        assert (len(set(names)), names) == (4, sorted(names))
        assert second["next"] is None
