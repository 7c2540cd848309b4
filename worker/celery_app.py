"""The Celery application of a worker: one message at a time, JSON only.

The broker is only a doorbell. Messages are acknowledged on receipt and no result is stored, because
the database is the source of truth.
"""

from typing import Any

from celery import Celery

VISIBILITY_SECONDS = 300
SOCKET_SECONDS = 30.0
CONNECT_SECONDS = 5.0

SETTINGS: dict[str, Any] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_accept_content": ["json"],
    "result_backend": None,
    "task_ignore_result": True,
    "task_acks_late": False,
    "task_create_missing_queues": True,
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": CONNECT_SECONDS,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_SECONDS,
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
    },
}

WORKER_ARGUMENTS = (
    "--quiet",
    "worker",
    "--pool=threads",
    "--concurrency=1",
    "--disable-prefetch",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
)


def make_celery_app(broker_url: str) -> Celery:
    """Return an unconnected application; it waits for a broker that is not available yet."""
    app = Celery("trainyard.worker", broker=broker_url, set_as_current=False)
    app.conf.update(SETTINGS)
    return app


def worker_arguments(name: str, queues: list[str]) -> list[str]:
    """Return the command line of one slot's Celery worker."""
    return [*WORKER_ARGUMENTS, f"--hostname={name}@%h", f"--queues={','.join(queues)}"]
