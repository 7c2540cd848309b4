"""Every route with no, wrong, narrow and foreign credentials.

A new route fails here until it has a row in access.py.
"""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx2 as httpx
import pytest

from app.accounts.keys import ALL_SCOPES
from app.accounts.tables import MemberRole
from tests.api.accounts.access import ACCESS, ADMIN, MEMBER, OPEN, VIEWER, Route
from tests.api.accounts.asking import (
    World,
    bad_credential,
    foreign_routes,
    is_not_found,
    names,
    problem_of,
    requiring,
    routes_where,
    shows,
    without_ids,
    worlds,
    wrong,
)
from tests.worlds.accounts import a_key, a_person

pytestmark = pytest.mark.mostly_sqlite

READING: Final = {"GET", "HEAD", "OPTIONS"}
LISTS: Final = [
    (method, path) for method, path in ACCESS if method == "GET" and not path.endswith("}")
]


@pytest.fixture(scope="module")
def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from worlds(module_database_url, tmp_path_factory.mktemp("tenants"))


class TestTable:
    def test_every_route_has_a_row(self, world: World) -> None:
        paths = world.api.app.openapi()["paths"]

        routes = {(method.upper(), path) for path, item in paths.items() for method in item}
        assert routes - OPEN == set(ACCESS)

    def test_every_scope_opens_a_route(self) -> None:
        used = {access.scope for access in ACCESS.values()}

        assert set(ALL_SCOPES) - used == set()


class TestNoCaller:
    @pytest.mark.parametrize(
        "kind",
        [
            "none",
            "malformed",
            "revoked",
            # One route with each of these is in test_authentication.py.
            *(
                pytest.param(kind, marks=pytest.mark.slow)
                for kind in ("unknown", "forged", "expired", "disabled")
            ),
        ],
    )
    def test_a_credential_that_is_not_valid_opens_no_route(self, world: World, kind: str) -> None:
        key = bad_credential(world, kind)
        admin = world.ours.people[ADMIN]

        refused = wrong(
            ACCESS,
            lambda route: world.ask(route, key, world.ours, admin),
            lambda route, answer: (
                answer.status_code == 401
                and answer.headers["WWW-Authenticate"] == "Bearer"
                and (route[0] == "HEAD" or problem_of(answer) == "unauthenticated")
            ),
        )

        assert refused == {}

    def test_other_paths_and_methods_tell_nothing_without_a_key(self, world: World) -> None:
        answers = {
            (method, path): world.api.client.request(method, path).status_code
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
            for path in ("/v1", "/v1/", "/v1/nothing", "/v1/jobs/", "/V1/jobs", "/v1//jobs")
        }

        assert set(answers.values()) <= {404, 405, 401}


class TestScopes:
    @pytest.mark.parametrize("scope", ALL_SCOPES)
    def test_every_other_scope_does_not_open_a_route(self, world: World, scope: str) -> None:
        admin = world.ours.people[ADMIN]
        others = [each for each in ALL_SCOPES if each != scope]
        _, key = a_key(world.api.database, admin.user_id, scopes=others)

        refused = wrong(
            routes_where(lambda access: access.scope == scope),
            lambda route: world.ask(route, key, world.ours, admin),
            lambda route, answer: (
                answer.status_code == 403
                and (route[0] == "HEAD" or answer.json().get("scope") == scope)
            ),
        )

        assert refused == {}

    @pytest.mark.parametrize("scope", ALL_SCOPES)
    def test_the_scope_of_a_route_is_enough(self, world: World, scope: str) -> None:
        viewer = world.ours.people[VIEWER]
        _, key = a_key(world.api.database, viewer.user_id, scopes=[scope])

        refused = wrong(
            routes_where(lambda access: access.scope == scope and access.role is not None),
            lambda route: world.ask(route, key, world.ours, viewer),
            lambda _, answer: problem_of(answer) not in {"insufficient-scope", "unauthenticated"},
        )

        assert refused == {}


class TestRoles:
    def test_a_viewer_reads_everything(self, world: World) -> None:
        viewer = world.ours.people[VIEWER]

        refused = wrong(
            requiring(VIEWER),
            lambda route: world.ask(route, viewer.key, world.ours, viewer),
            lambda _, answer: (
                answer.status_code not in {401, 403, 422}
                and not problem_of(answer).endswith("dataset-not-found")
            ),
        )

        assert refused == {}

    @pytest.mark.parametrize(
        ("role", "lacks"), [(VIEWER, MEMBER), (VIEWER, ADMIN), (MEMBER, ADMIN)]
    )
    def test_a_role_that_is_too_low_is_refused_by_name(
        self, world: World, role: MemberRole, lacks: MemberRole
    ) -> None:
        person = world.ours.people[role]

        refused = wrong(
            requiring(lacks),
            lambda route: world.ask(route, person.key, world.ours, person),
            lambda _, answer: (
                (answer.status_code, problem_of(answer)) == (403, "insufficient-role")
                and answer.json()["role"] == lacks
            ),
        )

        assert refused == {}

    def test_an_admin_of_a_project_does_not_administer_the_instance(self, world: World) -> None:
        admin = world.ours.people[ADMIN]

        refused = wrong(
            routes_where(lambda access: access.administrator),
            lambda route: world.ask(route, admin.key, world.ours, admin),
            lambda _, answer: (
                (answer.status_code, problem_of(answer)) == (403, "insufficient-role")
                and answer.json()["role"] == "administrator"
            ),
        )

        assert refused == {}

    def test_an_archived_project_is_read_only(self, world: World) -> None:
        admin = world.archived.people[ADMIN]

        refused = wrong(
            [*requiring(MEMBER), *requiring(ADMIN)],
            lambda route: world.ask(route, admin.key, world.archived, admin),
            lambda _, answer: (answer.status_code, problem_of(answer)) == (409, "project-archived"),
        )

        assert refused == {}

    def test_an_administrator_has_no_access_to_the_data_of_a_project(self, world: World) -> None:
        administrator = a_person(world.api.database, is_admin=True)
        admin = world.ours.people[ADMIN]
        outside = [route for route in foreign_routes() if not route[1].startswith("/v1/projects")]

        refused = wrong(
            [route for route in outside if "{key_id}" not in route[1]],
            lambda route: world.ask(route, administrator.key, world.ours, admin),
            lambda _, answer: is_not_found(answer),
        )

        assert refused == {}


@pytest.fixture(scope="module")
def foreign(world: World) -> dict[Route, httpx.Response]:
    """The answers to an admin of one tenant about objects of the other."""
    stranger, owner = world.theirs.people[ADMIN], world.ours.people[ADMIN]
    routes = foreign_routes()
    return {route: world.ask(route, stranger.key, world.ours, owner) for route in routes}


class TestForeignObjects:
    def test_objects_of_another_tenant_are_not_found(
        self, world: World, foreign: Mapping[Route, httpx.Response]
    ) -> None:
        refused = wrong(
            foreign,
            foreign.__getitem__,
            lambda _, answer: is_not_found(answer) and not shows(answer, world.ours),
        )

        assert refused == {}

    def test_a_key_for_one_project_reaches_no_other_project_of_its_user(self, world: World) -> None:
        roles = {world.ours.project_id: ADMIN, world.theirs.project_id: ADMIN}
        both = a_person(world.api.database, roles, bound_to=world.theirs.project_id)
        owner = world.ours.people[ADMIN]

        refused = wrong(
            foreign_routes(),
            lambda route: world.ask(route, both.key, world.ours, owner),
            lambda _, answer: is_not_found(answer) and not shows(answer, world.ours),
        )

        assert refused == {}

    def test_a_foreign_object_is_answered_like_one_that_does_not_exist(
        self, world: World, foreign: Mapping[Route, httpx.Response]
    ) -> None:
        stranger = world.theirs.people[ADMIN]

        def ask_of_nothing(route: Route) -> httpx.Response:
            named = str(foreign[route].request.url.raw_path, "ascii")
            path = re.sub(r"_[0-9A-Z]{26}", "_" + "0" * 26, named)
            request = dict(ACCESS[route].request(world.ours))
            headers = {**request.pop("headers", {}), **stranger.headers}
            return world.api.client.request(route[0], path, headers=headers, **request)

        different = wrong(
            [route for route in foreign if "{" in route[1]],
            ask_of_nothing,
            lambda route, answer: without_ids(answer) == without_ids(foreign[route]),
        )

        assert different == {}

    def test_references_in_bodies_find_nothing_of_another_tenant(self, world: World) -> None:
        ours, theirs = world.ours, world.theirs
        stranger = theirs.people[ADMIN]
        upload = ours.uploads[ours.people[ADMIN].user_id]
        spec = {"dataset": theirs.rows.dataset_id, "model": "yolo26n.yaml", "project": theirs.mark}
        job, dataset = f"/v1/jobs/{theirs.job_id}", f"/v1/datasets/{theirs.rows.dataset_id}"
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("/v1/jobs", spec | {"dataset": ours.rows.dataset_id}),
            ("/v1/jobs", spec | {"dataset": ours.rows.version_id}),
            ("/v1/jobs", spec | {"model": ours.job_id}),
            ("/v1/jobs", spec | {"model": ours.model_id}),
            ("/v1/jobs", spec | {"project": ours.mark}),
            (f"{job}/clone", {"dataset": ours.rows.dataset_id, "project": theirs.mark}),
            (f"{job}/clone", {"project": ours.mark}),
            (f"{dataset}/versions", {"version": ours.rows.version_id}),
            (f"{dataset}/versions", {"upload": upload}),
            ("/v1/datasets/from-upload", {"upload": upload, "name": "x"}),
            ("/v1/keys", {"label": "x", "scopes": ["jobs:read"], "project": ours.mark}),
        ]

        answers = [
            world.api.client.post(path, json=body, headers=stranger.headers)
            for path, body in bodies
        ]

        assert [answer.text for answer in answers if answer.status_code not in {404, 422}] == []
        assert [answer.text for answer in answers if names(answer.text, ours)] == []

    def test_versions_in_queries_find_nothing_of_another_tenant(self, world: World) -> None:
        stranger = world.theirs.people[ADMIN]
        dataset, version = world.theirs.rows.dataset_id, world.ours.rows.version_id
        parts = ("report", "findings", "samples", "statistics", "duplicates", "files", "export")
        asked = [f"{part}?version={version}" for part in parts]
        asked += [f"diff?before={version}", f"diff?after={version}"]

        statuses = {
            part: world.api.client.get(
                f"/v1/datasets/{dataset}/{part}", headers=stranger.headers
            ).status_code
            for part in asked
        }

        assert set(statuses.values()) == {404}


class TestNothingIsShown:
    def test_no_answer_about_own_objects_shows_another_tenant(self, world: World) -> None:
        admin = world.theirs.people[ADMIN]

        shown = wrong(
            [route for route in ACCESS if route[0] in READING],
            lambda route: world.ask(route, admin.key, world.theirs, admin),
            lambda _, answer: not shows(answer, world.ours),
        )

        assert shown == {}

    def test_the_marks_of_a_tenant_are_in_its_own_answers(self, world: World) -> None:
        """Otherwise the other tests of this class would see nothing."""
        admin = world.theirs.people[ADMIN]
        own = [path for _, path in LISTS if path.split("/")[2] in {"jobs", "datasets", "keys"}]
        own += ["/v1/uploads", "/v1/projects", "/v1/models", "/v1/jobs/{job_id}/artifacts/{name}"]

        missing = wrong(
            [("GET", path) for path in own if "{" not in path or path.endswith("{name}")],
            lambda route: world.ask(route, admin.key, world.theirs, admin),
            lambda _, answer: shows(answer, world.theirs),
        )

        assert missing == {}

    def test_a_cursor_of_another_tenant_leads_to_nothing_of_theirs(self, world: World) -> None:
        ours, theirs = world.ours.people[ADMIN], world.theirs.people[ADMIN]
        cursors = {}
        for route in LISTS:
            page = world.ask(route, ours.key, world.ours, ours, limit=1)
            is_page = page.status_code == 200 and "json" in page.headers["content-type"]
            if is_page and page.json().get("next"):
                cursors[route] = page.json()["next"]

        shown = {}
        for route, cursor in cursors.items():
            for tenant in (world.theirs, world.ours):
                owner = tenant.people[ADMIN]
                answer = world.ask(route, theirs.key, tenant, owner, limit=50, cursor=cursor)
                if shows(answer, world.ours):
                    shown[route] = answer.text

        assert len(cursors) >= 6
        assert shown == {}

    def test_a_shared_read_is_shared_by_callers_of_the_same_projects_only(
        self, world: World
    ) -> None:
        route = ("GET", "/v1/jobs/{job_id}")
        owner, stranger = world.ours.people[ADMIN], world.theirs.people[ADMIN]

        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda person: (person, world.ask(route, person.key, world.ours, owner)),
                    [owner, stranger] * 30,
                )
            )

        statuses = {(person is owner, answer.status_code) for person, answer in answers}
        assert statuses == {(True, 200), (False, 404)}
