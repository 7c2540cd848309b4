"""A server in this process on an empty database, with a key and a ready dataset."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select
from starlette.testclient import TestClient

from app.accounts.tables import Membership
from app.core.context import Context
from app.core.database import Database
from app.main import create_app
from app.settings import Settings
from tests.worlds.rows import Rows, a_dataset

NO_BROKER = "redis://127.0.0.1:1/0"


@dataclass(frozen=True)
class Api:
    """The running application, a client that holds the first key, and rows to refer to."""

    app: FastAPI
    client: TestClient
    rows: Rows
    key: str

    @property
    def context(self) -> Context:
        context: Context = self.app.state.context
        return context

    @property
    def database(self) -> Database:
        return self.context.database

    def spec(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the JSON of a valid job."""
        return {
            "dataset": self.rows.dataset_id,
            "model": "yolo26n.yaml",
            "train": {"epochs": 2, "imgsz": 64},
            **changes,
        }

    def submit(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Submit a valid job and return its status."""
        answer = self.client.post("/v1/jobs", json=self.spec(**changes))
        assert answer.status_code == 201, answer.text
        status: dict[str, Any] = answer.json()
        return status


def on(url: str, home: Path) -> Settings:
    """Return the settings of a server on that database, without a broker."""
    return Settings(home=home, database_url=url, broker_url=SecretStr(NO_BROKER))


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return on(database_url, tmp_path / "home")


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """A server of the test's own."""
    yield from _serving(settings)


@pytest.fixture(scope="module")
def shared_api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server for all tests of a module: for requests that leave nothing behind."""
    home = tmp_path_factory.mktemp("shared") / "home"
    yield from _serving(on(module_database_url, home))


def _serving(settings: Settings) -> Iterator[Api]:
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        key = (settings.home / "api-key").read_text().strip()
        client.headers["Authorization"] = f"Bearer {key}"
        yield Api(app, client, a_ready_dataset(app.state.context.database), key)


def a_ready_dataset(database: Database) -> Rows:
    """Add a ready dataset to the first user's project."""
    with database.write() as unit:
        membership = unit.session.scalars(select(Membership)).one()
        dataset_id, version_id = a_dataset(unit.session, membership.project_id, membership.user_id)
    return Rows(membership.user_id, membership.project_id, dataset_id, version_id)
