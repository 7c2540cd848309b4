"""The doorbell's thread with a real broker that stops and starts again."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.core.broker import EmbeddedBroker, broker_url
from app.jobs.life.doorbell import RUN_JOB_TASK, Doorbell
from app.settings import Settings
from tests.waiting import eventually

QUEUE = "queue.default"
pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def broker(home: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(home)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def doorbell(home: Path) -> Iterator[Doorbell]:
    with Doorbell(broker_url(Settings(home=home))) as doorbell:
        yield doorbell


def bells(broker: EmbeddedBroker, queue: str = QUEUE) -> list[tuple[str, list[object]]]:
    """Return task and arguments of the messages in a queue of the broker, newest first."""
    with Redis(unix_socket_path=str(broker.socket)) as client:
        messages = [json.loads(raw) for raw in client.lrange(queue, 0, -1)]
    return [
        (message["headers"]["task"], json.loads(base64.b64decode(message["body"]))[0])
        for message in messages
    ]


class TestDoorbell:
    def test_a_bell_holds_the_job_and_its_ring_alone(
        self, broker: EmbeddedBroker, doorbell: Doorbell
    ) -> None:
        doorbell.ring("job_1", 7, "default")

        eventually(lambda: bells(broker) == [(RUN_JOB_TASK, ["job_1", 7])], within=10)

    def test_one_slot_is_rung_by_its_own_queue(
        self, broker: EmbeddedBroker, doorbell: Doorbell
    ) -> None:
        doorbell.ring_slot("job_1", 7, "wrk_1")

        eventually(lambda: bells(broker, "slot.wrk_1") == [(RUN_JOB_TASK, ["job_1", 7])], within=10)

    def test_a_doorbell_rings_again_after_the_broker_was_away(
        self, broker: EmbeddedBroker, doorbell: Doorbell
    ) -> None:
        doorbell.ring("job_1", 1, "default")
        eventually(lambda: len(bells(broker)) == 1, within=10)
        broker.stop()
        doorbell.ring("job_2", 1, "default")
        doorbell.ring("job_3", 1, "default")
        eventually(doorbell._bells.empty, within=20)

        broker.start()
        doorbell.ring("job_4", 1, "default")

        eventually(lambda: (RUN_JOB_TASK, ["job_4", 1]) in bells(broker), within=20)
