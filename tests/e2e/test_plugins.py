"""A job that names the example plugin, which one slot of ten has, through real processes.

One of the nine slots without it is a real worker; eight are registered, idle and receive no
doorbells.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from app.core.broker import broker_url
from app.core.database import Database
from app.fleet.repository import Registration, mark_stopped, register_worker
from app.settings import Settings
from tests.datasets.builders import a_detect_zip
from tests.plugins import install_example
from tests.waiting import eventually
from tests.worlds.server import TRAIN_IMAGES, VAL_IMAGES, Server

WORKER_SECONDS, JOB_SECONDS = 60.0, 180.0
IDLE_SLOTS = 8
pytestmark = pytest.mark.integration


@pytest.fixture
def idle_slots(server: Server) -> Iterator[list[str]]:
    """Yield slots with a recent heartbeat and no plugin."""
    with closing(_Rows(Database(Settings(home=server.home).effective_database_url))) as rows:
        yield [rows.register(str(number)) for number in range(IDLE_SLOTS)]


class _Rows:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids: list[str] = []

    def register(self, slot: str) -> str:
        idle = Registration(
            node="nod_idle",
            slot=slot,
            incarnation="inc_idle",
            host="nowhere",
            queues=("default",),
            gpus=0,
            version="0",
        )
        with self.database.write() as unit:
            self.ids.append(register_worker(unit.session, idle))
        return self.ids[-1]

    def close(self) -> None:
        with self.database.write() as unit:
            for each in self.ids:
                mark_stopped(unit.session, each, "inc_idle")
        self.database.dispose()


@pytest.fixture
def with_plugin(server: Server, tmp_path: Path) -> Iterator[str]:
    """Yield the slot id of a second worker; only its PYTHONPATH contains the example."""
    settings = Settings(home=server.home)
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("TRAINYARD_")},
        "PYTHONPATH": str(install_example(tmp_path / "packages")),
        "TRAINYARD_HOME": str(tmp_path / "home"),
        "TRAINYARD_DATABASE_URL": settings.effective_database_url,
        "TRAINYARD_STORE_URL": settings.effective_store_url,
        "TRAINYARD_BROKER_URL": broker_url(settings),
    }
    with ExitStack() as stack:
        log = stack.enter_context((tmp_path / "worker.log").open("wb"))
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "--slots", "cpu"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        stack.callback(worker.wait, WORKER_SECONDS)
        stack.callback(worker.send_signal, signal.SIGTERM)
        eventually(
            lambda: slots_with_plugins(server),
            within=WORKER_SECONDS,
            message=(tmp_path / "worker.log").read_text,
        )
        yield slots_with_plugins(server)[0]


def slots_with_plugins(server: Server) -> list[str]:
    return [each["id"] for each in server.get("/v1/workers")["data"] if each["plugins"]]


@pytest.mark.slow
def test_the_one_of_ten_idle_slots_with_the_plugin_trains_the_job_at_once(
    server: Server, idle_slots: list[str], with_plugin: str, tmp_path: Path
) -> None:
    archive = a_detect_zip(tmp_path / "shapes.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
    dataset = server.upload(archive, name="for plugins", task="detect")
    (offered,) = server.get("/v1/trainers")["data"]
    live = [each["id"] for each in server.get("/v1/workers")["data"] if each["state"] == "live"]

    job_id = server.submit(
        dataset,
        customize={"freeze": {"layers": "backbone", "epochs": 1}},
        trainer={"name": "grayscale", "options": {"probability": 1}},
    )
    status = server.succeed(job_id, within=JOB_SECONDS)

    assert {*idle_slots, with_plugin} < set(live)
    assert (offered["name"], offered["slots"]) == ("grayscale", 1)
    attempts: list[dict[str, Any]] = server.get(f"/v1/jobs/{job_id}/attempts")["data"]
    assert [(each["worker"], each["number"]) for each in attempts] == [(with_plugin, 1)]
    assert status["resolved"]["trainer"]["options"] == {"probability": 1}
    assert server.get(f"/v1/jobs/{job_id}/metrics")["series"]["grayscale/share"] == [1.0, 1.0]
