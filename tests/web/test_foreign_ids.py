"""A page of another project answers as one that does not exist, and shows nothing of it."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

import pytest
from fastapi.routing import APIRoute

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.tables import MemberRole
from app.web.routes import PAGES
from tests.api.accounts.asking import World, worlds
from tests.api.browser.browsers import Browser, a_browser
from tests.worlds.accounts import Person
from tests.worlds.tenants import Tenant

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

OF_TENANTS: Final = {
    "{job_id}": "job_",
    "{reference}": "ds_",
    "{project_id}": "prj_",
    "{webhook_id}": "whk_",
    "{delivery_id}": "dlv_",
    "{model_id}": "mdl_",
    "{key_id}": "key_",
    "{user_id}": "usr_",
    "{upload}": "upl_",
}
"""The names of ids in paths, and how such ids begin."""
OTHERS: Final = {"{action}": "test", "{change}": "promote", "{session_id}": "ses_" + "0" * 26}
OWN: Final = re.compile(r'data-now="[^"]*"|req_[0-9A-Z]{26}')
"""What each answer has of its own."""
MANY: Final = 40
FIRST_REFUSAL: Final = 400


def routes() -> list[tuple[str, str]]:
    """Return method and path of each page and form whose path has an id of a tenant."""
    found = [route for router in PAGES for route in router.routes if isinstance(route, APIRoute)]
    return [
        (method, route.path)
        for route in found
        for method in sorted((route.methods or set()) - {"HEAD"})
        if any(name in route.path for name in OF_TENANTS)
    ]


def filled(path: str, ids: Mapping[str, str]) -> str:
    for name, text in {**ids, **OTHERS}.items():
        path = path.replace(name, text)
    return path


def ids_of(tenant: Tenant, person: Person) -> dict[str, str]:
    return {
        "{job_id}": tenant.job_id,
        "{reference}": tenant.rows.dataset_id,
        "{project_id}": tenant.project_id,
        "{webhook_id}": tenant.webhook_id,
        "{delivery_id}": tenant.delivery_id,
        "{model_id}": tenant.model_id,
        "{key_id}": tenant.spare_keys[person.user_id],
        "{user_id}": person.user_id,
        "{upload}": tenant.uploads[person.user_id],
    }


UNKNOWN: Final = {name: prefix + "0" * 26 for name, prefix in OF_TENANTS.items()}


def browser_of(world: World, person: Person) -> Browser:
    """Return a browser in which a person is signed in."""
    token = new_token()
    with world.api.database.write() as unit:
        client = Client("192.0.2.1", "a browser")
        lifetime = timedelta(days=1)
        insert_session(unit.session, person.user_id, token, client, lifetime=lifetime)
    browser = a_browser(world.api)
    browser.client.cookies.set("trainyard", token, domain="127.0.0.1")
    return browser


@pytest.fixture(scope="module")
def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from worlds(module_database_url, tmp_path_factory.mktemp("tenants"))


@pytest.fixture(scope="module")
def browser(world: World) -> Browser:
    """A browser of an administrator of one project."""
    return browser_of(world, world.ours.people[MemberRole.ADMIN])


def asked(browser: Browser, method: str, path: str, ids: Mapping[str, str]) -> tuple[int, str]:
    """Return status and text of the answer, without the ids that were asked for."""
    answer = browser.client.request(
        method, filled(path, ids), headers={"Accept": "text/html"}, follow_redirects=False
    )
    text = OWN.sub("", answer.text)
    for name, each in ids.items():
        text = text.replace(each, name)
    return answer.status_code, text


def test_pages_with_ids_are_found() -> None:
    assert len(routes()) > MANY


@pytest.mark.parametrize("route", routes(), ids=" ".join)
def test_an_id_of_another_project_is_one_that_does_not_exist(
    world: World, browser: Browser, route: tuple[str, str]
) -> None:
    method, path = route
    person = world.theirs.people[MemberRole.ADMIN]
    foreign = ids_of(world.theirs, person)

    answered = asked(browser, method, path, foreign)

    other = asked(browser, method, path, UNKNOWN)
    assert answered == other
    assert answered[0] >= FIRST_REFUSAL
    assert [mark for mark in world.theirs.marks if mark in answered[1]] == []
