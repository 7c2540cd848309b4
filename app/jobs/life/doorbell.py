"""Doorbells: a thread that tells workers about waiting work. A lost bell only costs time.

Request handlers never talk to the broker. After its commit a handler puts a bell into this thread's
queue and responds, whether or not the broker is available.
"""

import queue
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from celery import Celery
from kombu.exceptions import OperationalError as BrokerDown

from app.core.crash_points import CrashPoint, crash_point
from app.core.logging import get_logger

log = get_logger(__name__)

RUN_JOB_TASK: Final = "trainyard.run_job"
INSPECTION_TASK: Final = "trainyard.inspect_model"
BROKER_TIMEOUT_SECONDS: Final = 2.0
MAX_WAITING_BELLS: Final = 10_000


@dataclass(frozen=True)
class Bell:
    """A message to workers: a job or a model, the number of the ring, and the Celery queue."""

    task: str
    subject_id: str
    number: int
    celery_queue: str


def queue_of_jobs(name: str) -> str:
    """Return the Celery queue that all slots of a job queue listen to."""
    return f"queue.{name}"


def queue_of_slot(worker_id: str) -> str:
    """Return the Celery queue that only one slot listens to."""
    return f"slot.{worker_id}"


def make_producer(broker_url: str) -> Celery:
    """Return a Celery application that only sends and gives up fast without a broker."""
    producer = Celery("trainyard.doorbell", broker=broker_url, set_as_current=False)
    producer.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_connection_timeout=BROKER_TIMEOUT_SECONDS,
        broker_transport_options={
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0,
        },
    )
    return producer


class Doorbell:
    """Sends bells from its own thread while the `with` block runs."""

    def __init__(self, broker_url: str) -> None:
        self._producer = make_producer(broker_url)
        self._bells: queue.Queue[Bell | None] = queue.Queue(MAX_WAITING_BELLS)
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._offer(None)
        self._thread.join(timeout=2 * BROKER_TIMEOUT_SECONDS)

    def ring(self, job_id: str, dispatch_seq: int, queue_name: str) -> None:
        """Tell all slots of a job queue that a job waits. Does not block."""
        self._offer(Bell(RUN_JOB_TASK, job_id, dispatch_seq, queue_of_jobs(queue_name)))

    def ring_slot(self, job_id: str, dispatch_seq: int, worker_id: str) -> None:
        """Tell one slot about a waiting job that it can claim. Does not block."""
        self._offer(Bell(RUN_JOB_TASK, job_id, dispatch_seq, queue_of_slot(worker_id)))

    def ring_inspection(self, model_id: str, number: int, worker_id: str) -> None:
        """Tell one slot about weights that wait for inspection. Does not block."""
        self._offer(Bell(INSPECTION_TASK, model_id, number, queue_of_slot(worker_id)))

    def _offer(self, bell: Bell | None) -> None:
        try:
            self._bells.put_nowait(bell)
        except queue.Full:
            log.warning("doorbell.dropped", waiting=MAX_WAITING_BELLS)

    def _run(self) -> None:
        while (bell := self._bells.get()) is not None:
            crash_point(CrashPoint.BELL_BEFORE_SENDING)
            try:
                self._producer.send_task(
                    bell.task,
                    (bell.subject_id, bell.number),
                    queue=bell.celery_queue,
                    task_id=f"{bell.subject_id}:{bell.number}",
                    retry=False,
                )
            except (BrokerDown, OSError) as error:
                log.warning("doorbell.lost", subject_id=bell.subject_id, error=type(error).__name__)
