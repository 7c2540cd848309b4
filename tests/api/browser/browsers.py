"""Browsers for tests: clients without a key, that send what browsers send."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from starlette.testclient import TestClient

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.tables import User
from app.core.database import Database
from tests.worlds.server import Api

PASSWORD = "correct horse 5"
HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$NlT0KYbmQCsnYfSUE2WezQ$tB7cVH"
    "O6Oqp36c6nUK/PwOfzIOi4E/slc3DZ1YCj2fM"
)
NAME = "owner"
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Browser:
    """A client that keeps cookies and says that our own pages cause its requests."""

    client: TestClient
    api: Api

    def sign_in(self, name: str = NAME, password: str = PASSWORD) -> int:
        """Sign in; return the status."""
        body = {"name": name, "password": password}
        return self.client.post("/session", json=body).status_code

    @property
    def token(self) -> str:
        """The token in the cookie."""
        return self.client.cookies["trainyard"]


def a_browser(api: Api, *, base_url: str = "http://127.0.0.1") -> Browser:
    """Return a new browser without a session."""
    client = TestClient(api.app, base_url=base_url, raise_server_exceptions=False, headers=OWN)
    return Browser(client, api)


def with_password(api: Api) -> Api:
    """Give the first user a password."""
    set_password(api.database)
    return api


def set_password(database: Database) -> None:
    """Give the first user of a database a password."""
    with database.write() as unit:
        unit.session.execute(update(User).where(User.name == NAME).values(password_hash=HASH))


def a_session(api: Api) -> tuple[str, str]:
    """Insert a session of the first user; return its id and its token."""
    return session_in(api.database)


def session_in(database: Database) -> tuple[str, str]:
    """Insert a session of the first user of a database; return its id and its token."""
    token = new_token()
    with database.write() as unit:
        user_id = unit.session.scalars(select(User.id).where(User.name == NAME)).one()
        client = Client("192.0.2.1", "a browser")
        lifetime = timedelta(days=30)
        session_id = insert_session(unit.session, user_id, token, client, lifetime=lifetime)
    return session_id, token


def signed_in(api: Api) -> Browser:
    """Return a browser with a session."""
    browser = a_browser(api)
    browser.client.cookies.set("trainyard", a_session(api)[1], domain="127.0.0.1")
    return browser
