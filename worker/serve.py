"""The process of one slot: `python -m worker.serve SLOT QUEUES`, started by `python -m worker`.

Nested layers: the slot's lock, its row in the database, then Celery, which runs until a signal.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from pydantic import JsonValue

from app.configuration import load_settings
from app.core.broker import broker_url, redis_url
from app.core.cage.plan import CagePlan
from app.core.database import Database
from app.core.exits import one_line_for_expected_errors
from app.core.files import create_privately
from app.core.ids import new_id
from app.core.logging import configure_logging, get_logger
from app.core.start_checks import check_database_patiently
from app.core.storage import ArtifactStore
from app.core.wake_ups import WakeUps
from app.fleet.repository import Registration, usable_names
from app.jobs.life.claim import SlotOffer
from app.jobs.life.doorbell import INSPECTION_TASK, RUN_JOB_TASK, queue_of_jobs, queue_of_slot
from app.settings import Settings
from worker.attempt.directory import clear_dead_attempts
from worker.celery_app import make_celery_app, worker_arguments
from worker.context import WorkerContext, attempts_folder, worker_home
from worker.dataset_cache.cache import DatasetCache
from worker.plugins import installed_plugins
from worker.processes.starter import ProcessStarter
from worker.registration import DATABASE_RETRY_SECONDS, heartbeats, host_name, register_slot
from worker.slots import Slot, gpu_devices, held_devices, node_id, parse_slots, slot_lock
from worker.tasks import NO_JOB, NO_MODEL, register_tasks
from worker.usage.gpus import GpuUse
from worker.usage.means import UseRecord
from worker.usage.slot import SlotUse

DATABASE_CONNECTIONS = 10

log = get_logger(__name__)


def main() -> None:
    """Serve the slot that the command line names until SIGTERM or SIGINT.

    The first signal drains: the trainer is requested to leave, the files that it has handed over
    are stored, and the job returns to the queue. A second signal kills the trainer at once; the
    rest is the same.
    """
    slot_name, queues = sys.argv[1:]
    create_privately()
    with ExitStack() as stack:
        with one_line_for_expected_errors():
            settings = load_settings()
            configure_logging(level=settings.log_level)
            slot = parse_slots(slot_name)[0]
            while not check_database_patiently(settings):
                threading.Event().wait(DATABASE_RETRY_SECONDS)
            stack.enter_context(held_devices(slot, exclusive_cpu=settings.exclusive_cpu))
            served = _served_slot(settings, slot, tuple(queues.split(",")))
            context = stack.enter_context(served)
        _run_celery(settings, context)


@contextmanager
def _served_slot(
    settings: Settings, slot: Slot, queues: tuple[str, ...]
) -> Iterator[WorkerContext]:
    home = worker_home(settings)
    node = node_id(home)
    with slot_lock(home, slot), WakeUps(redis_url(settings)) as wake_ups:
        clear_dead_attempts(attempts_folder(settings))
        database = Database(settings.effective_database_url, pool_size=DATABASE_CONNECTIONS)
        database.announce_to(wake_ups.publish)
        plugins = installed_plugins()
        registration = Registration(
            node=node,
            slot=slot.name,
            incarnation=new_id("inc"),
            host=host_name(),
            queues=queues,
            gpus=len(slot.gpus),
            version=version("trainyard-server"),
            devices=_devices_of(slot),
            plugins=plugins,
        )
        use = SlotUse(GpuUse([str(device["uuid"]) for device in registration.devices]))
        worker_id = register_slot(database, registration, timing=settings.timing)
        measured = UseRecord(use)
        with heartbeats(
            database, worker_id, registration, timing=settings.timing, measure=measured.measure
        ):
            offer = SlotOffer(worker_id, queues, len(slot.gpus), usable_names(plugins))
            context = _context(settings, database, slot, offer, node, use=use)
            try:
                yield context
            finally:
                context.starter.close()
        database.dispose()


def _context(
    settings: Settings,
    database: Database,
    slot: Slot,
    offer: SlotOffer,
    node: str,
    *,
    use: SlotUse,
) -> WorkerContext:
    store = ArtifactStore.from_settings(settings)
    cache = DatasetCache(worker_home(settings) / "datasets", settings.worker.dataset_cache_bytes)
    return WorkerContext(
        settings=settings,
        database=database,
        store=store,
        datasets=cache,
        slot=slot,
        worker_id=offer.worker_id,
        queues=offer.queues,
        plugins=offer.plugins,
        leaving=threading.Event(),
        starter=ProcessStarter(
            settings.worker.warm, worker_home(settings) / "preloaded" / f"{node}-{slot.name}"
        ),
        cages=CagePlan.of_slot(settings, slot.name, slot.gpus),
        use=use,
    )


def _devices_of(slot: Slot) -> list[dict[str, JsonValue]]:
    return [device for index, device in enumerate(gpu_devices()) if index in slot.gpus]


def _run_celery(settings: Settings, context: WorkerContext) -> None:
    app = make_celery_app(broker_url(settings))
    register_tasks(app, context)
    own_queue = queue_of_slot(context.worker_id)

    def leave(**_: object) -> None:
        # Set before logging: in a signal handler, writing a log line can fail.
        (context.hurrying if context.leaving.is_set() else context.leaving).set()
        log.info("worker.leaving", worker_id=context.worker_id)

    def look_for_work(**_: object) -> None:
        _ring_own_slot(app, own_queue)

    def keep_logging(**_: object) -> None:
        """Do nothing: Celery leaves logging alone if its signal has a receiver."""

    for chatty in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # they log a line per bell
    # Celery keeps weak references: the functions live as long as this frame, until Celery ends.
    setup_logging.connect(keep_logging)
    worker_shutting_down.connect(leave)
    worker_ready.connect(look_for_work)
    # Celery warns about running as root because of pickle, which this application does not accept.
    warnings.simplefilter("ignore", SecurityWarning)
    queues = [own_queue, *map(queue_of_jobs, context.queues)]
    app.worker_main(worker_arguments(context.worker_id, queues))


def _ring_own_slot(app: Celery, own_queue: str) -> None:
    # Through the broker, so that the thread that handles bells makes the first claim, too.
    app.send_task(INSPECTION_TASK, (NO_MODEL, 0), queue=own_queue)
    app.send_task(RUN_JOB_TASK, (NO_JOB, 0), queue=own_queue)


if __name__ == "__main__":
    main()
