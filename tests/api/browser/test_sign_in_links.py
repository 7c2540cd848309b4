"""The one-time link of `trainyard up` signs in as the first administrator, on this machine only."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app.accounts.browser.errors import SignInLinkClosed
from app.accounts.browser.sessions import Client
from app.accounts.browser.setup import new_setup_link
from app.accounts.browser.sign_in_links import new_sign_in_link, use_sign_in_link
from app.accounts.tables import SetupLink, User
from app.audit.tables import AuditRecord
from app.core.database import Database
from tests.api.browser.browsers import OWN, with_password
from tests.worlds.server import Api

CLOSED = "urn:trainyard:problem:sign-in-link-closed"

pytestmark = pytest.mark.mostly_sqlite


def a_local_client(api: Api, *, address: str = "127.0.0.1", host: str = "127.0.0.1") -> TestClient:
    return TestClient(
        api.app,
        base_url=f"http://{host}",
        client=(address, 50000),
        headers=OWN,
        raise_server_exceptions=False,
    )


def a_link(database: Database) -> str:
    token = new_sign_in_link(database)
    assert token is not None
    return f"/session/links/{token}"


class TestUse:
    def test_a_link_signs_in_as_the_first_administrator(self, api: Api) -> None:
        client = a_local_client(api)

        answer = client.post(a_link(api.database))

        assert answer.status_code == 200, answer.text
        assert answer.json()["user"] == "owner"
        assert client.get("/v1/me").json()["role"] == "administrator"
        with api.database.read() as unit:
            recorded = sorted(unit.session.scalars(select(AuditRecord.action)))
        assert recorded == ["session.started", "sign_in_link.used"]

    def test_looking_at_it_does_not_use_it(self, api: Api) -> None:
        link = a_link(api.database)

        looked = a_local_client(api).get(link)

        assert looked.status_code == 204
        assert a_local_client(api).post(link).status_code == 200

    def test_a_link_does_not_work_twice(self, api: Api) -> None:
        link = a_link(api.database)
        a_local_client(api).post(link)

        again = a_local_client(api).post(link)

        assert (again.status_code, again.json()["type"]) == (410, CLOSED)

    def test_one_of_two_uses_at_the_same_time_wins(self, api: Api) -> None:
        token = new_sign_in_link(api.database)
        assert token is not None

        def use(_: int) -> bool:
            try:
                use_sign_in_link(
                    api.database, token, Client("127.0.0.1", None), lifetime=timedelta(days=1)
                )
            except SignInLinkClosed:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(use, range(2)))

        assert sorted(won) == [False, True]


class TestRefusal:
    def test_a_link_does_not_work_after_10_minutes(self, api: Api) -> None:
        link = a_link(api.database)
        with api.database.write() as unit:
            expiry = unit.session.scalars(select(SetupLink.expires_at)).one()
            earlier = expiry - timedelta(minutes=10)
            unit.session.execute(update(SetupLink).values(expires_at=earlier))

        answer = a_local_client(api).post(link)

        assert (answer.status_code, answer.json()["type"]) == (410, CLOSED)

    def test_a_link_does_not_work_once_an_administrator_has_a_password(self, api: Api) -> None:
        link = a_link(api.database)
        with_password(api)

        answer = a_local_client(api).post(link)

        assert (answer.status_code, answer.json()["type"]) == (410, CLOSED)
        assert new_sign_in_link(api.database) is None

    def test_a_set_up_link_does_not_sign_in(self, api: Api) -> None:
        token = new_setup_link(api.database)

        answer = a_local_client(api).post(f"/session/links/{token}")

        assert answer.status_code == 410

    def test_a_sign_in_link_does_not_set_up(self, api: Api) -> None:
        token = new_sign_in_link(api.database)

        answer = a_local_client(api).get(f"/setup/{token}")

        assert answer.status_code == 410

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_link_does_not_work_from_another_machine(self, api: Api, method: str) -> None:
        link = a_link(api.database)

        answer = a_local_client(api, address="192.0.2.1").request(method, link)

        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:trainyard:problem:only-from-this-machine"

    def test_a_page_of_another_site_cannot_use_it(self, api: Api) -> None:
        answer = a_local_client(api).post(
            a_link(api.database), headers={"Sec-Fetch-Site": "cross-site"}
        )

        assert answer.status_code == 403

    def test_a_disabled_administrator_gets_no_link(self, api: Api) -> None:
        with api.database.write() as unit:
            unit.session.execute(update(User).values(disabled_at=User.created_at))

        assert new_sign_in_link(api.database) is None
