"""Events of the log become deliveries: each once for each webhook that asks for it."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from sqlalchemy import update

from app.core.crash_points import CRASH_AT_VARIABLE, TESTING_VARIABLE, CrashPoint
from app.core.database import Database
from app.events.repository import append_event, append_version_event
from app.events.tables import EventLog
from app.jobs.tables import Job
from app.webhooks import fan_out as module
from app.webhooks.fan_out import fan_out
from app.webhooks.tables import Webhook, WebhookState
from tests.counting import statements_to
from tests.waiting import eventually
from tests.worlds.rows import Rows, a_job, some_rows
from tests.worlds.webhooks import a_webhook, deliveries_of

pytestmark = pytest.mark.integration

READ: Final = """
import sys
from app.core.database import Database
from app.webhooks.fan_out import fan_out
while fan_out(Database(sys.argv[1], pool_size=1)):
    pass
"""
URL: Final = "https://example.com/"


@pytest.fixture
def rows(database: Database) -> Rows:
    return some_rows(database)


@pytest.fixture
def job_id(database: Database, rows: Rows) -> str:
    return a_job(database, rows, name="terns")


def happen(database: Database, job_id: str, *types: str) -> None:
    """Add events of a job, each in a transaction of its own."""
    for type_ in types:
        with database.write() as unit:
            count = update(Job).where(Job.id == job_id).values(last_seq=Job.last_seq + 1)
            seq = unit.session.scalars(count.returning(Job.last_seq)).one()
            append_event(unit.session, job_id, seq, type_, data={"seq": seq})


def a_hook(database: Database, rows: Rows, *events: str, **columns: object) -> Webhook:
    chosen = list(events) or ["*"]
    return a_webhook(database, rows.project_id, rows.user_id, URL, events=chosen, **columns)


def read_all(database: Database, hook: Webhook, *, until: int) -> None:
    """Read the log until the hook has a number of deliveries.

    On PostgreSQL, an event is readable when every older transaction of the server has ended.
    """

    def is_read() -> bool:
        while fan_out(database):
            pass
        return len(deliveries_of(database, hook.id)) >= until

    eventually(is_read, within=20)


def types_for(database: Database, hook: Webhook) -> list[str]:
    return [row.type for row in deliveries_of(database, hook.id)]


class TestChoice:
    def test_a_webhook_gets_the_events_that_it_asks_for_and_no_others(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        exact = a_hook(database, rows, "job.succeeded", "dataset.ready")
        beginning = a_hook(database, rows, "job.*")
        all_of_them = a_hook(database, rows)

        happen(database, job_id, "job.started", "epoch.finished", "job.succeeded")
        with database.write() as unit:
            append_version_event(unit.session, rows.version_id, "ready")
        read_all(database, all_of_them, until=4)

        assert types_for(database, exact) == ["job.succeeded", "dataset.ready"]
        assert types_for(database, beginning) == ["job.started", "job.succeeded"]

    def test_events_of_another_project_are_not_sent(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        others = some_rows(database, name="other")
        foreign, own = a_hook(database, others), a_hook(database, rows)

        happen(database, job_id, "job.started")
        read_all(database, own, until=1)

        assert types_for(database, foreign) == []

    def test_events_before_a_webhook_existed_are_not_sent(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        first = a_hook(database, rows)
        happen(database, job_id, "job.started")
        read_all(database, first, until=1)
        second = a_hook(database, rows)

        happen(database, job_id, "job.failed")
        read_all(database, second, until=1)

        assert types_for(database, first) == ["job.started", "job.failed"]
        assert types_for(database, second) == ["job.failed"]

    def test_events_while_a_webhook_is_disabled_are_not_sent(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        disabled = a_hook(database, rows, state=WebhookState.DISABLED)
        enabled = a_hook(database, rows)

        happen(database, job_id, "job.started")
        read_all(database, enabled, until=1)

        assert types_for(database, disabled) == []

    def test_a_body_names_the_job_and_where_to_read_more(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        hook = a_hook(database, rows)

        happen(database, job_id, "job.started")
        eventually(
            lambda: fan_out(database, path_prefix="/trainyard") or deliveries_of(database, hook.id),
            within=20,
        )

        (delivery,) = deliveries_of(database, hook.id)
        message = json.loads(delivery.body)
        assert message["type"] == "job.started"
        assert message["data"] == {
            "project": "default",
            "level": "info",
            "job": {"id": job_id, "name": "terns", "path": f"/trainyard/v1/jobs/{job_id}"},
            "seq": 2,
            "details": {"seq": 2},
            "truncated": False,
        }


class TestOnce:
    def test_every_event_is_one_delivery_although_two_servers_read(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        hook = a_hook(database, rows)
        happen(database, job_id, *["epoch.finished"] * 30)

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(read_all, database, hook, until=30)

        assert [
            json.loads(row.body)["data"]["seq"] for row in deliveries_of(database, hook.id)
        ] == (list(range(2, 32)))

    def test_a_server_killed_before_its_commit_leaves_every_event_for_the_next_reader(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        hook = a_hook(database, rows)
        happen(database, job_id, "job.started", "job.failed")

        killed = subprocess.run(
            [sys.executable, "-c", READ, database.url.render_as_string(hide_password=False)],
            env={
                **os.environ,
                TESTING_VARIABLE: "1",
                CRASH_AT_VARIABLE: CrashPoint.DELIVERIES_BEFORE_COMMIT,
            },
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert types_for(database, hook) == []
        read_all(database, hook, until=2)

        assert types_for(database, hook) == ["job.started", "job.failed"]

    def test_a_long_log_is_read_in_parts(
        self, database: Database, rows: Rows, job_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
        hook = a_hook(database, rows)

        happen(database, job_id, *["epoch.finished"] * 10)
        read_all(database, hook, until=10)

        assert len(types_for(database, hook)) == 10

    def test_a_restored_database_is_read_from_its_end(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        hook = a_hook(database, rows)
        happen(database, job_id, "job.started")
        read_all(database, hook, until=1)
        with database.write() as unit:
            unit.session.execute(update(EventLog).values(generation="another"))

        fan_out(database)
        happen(database, job_id, "job.failed")
        read_all(database, hook, until=2)

        assert types_for(database, hook) == ["job.started", "job.failed"]


class TestStatements:
    def test_a_server_without_webhooks_asks_one_question(
        self, database: Database, job_id: str
    ) -> None:
        happen(database, job_id, "job.started")

        with statements_to(database) as statements:
            fan_out(database)

        assert statements == ["SELECT webhooks"]

    def test_the_number_of_statements_does_not_grow_with_events_and_webhooks(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        hooks = [a_hook(database, rows) for _ in range(5)]
        happen(database, job_id, *["epoch.finished"] * 20)

        with statements_to(database) as statements:
            eventually(lambda: fan_out(database) or deliveries_of(database, hooks[0].id), within=20)

        inserts = [each for each in statements if each == "INSERT webhook_deliveries"]
        assert len(deliveries_of(database, hooks[4].id)) == 20
        assert 1 <= len(inserts) <= 2
