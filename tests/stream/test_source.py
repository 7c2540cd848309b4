"""What the streams read from the database, and with how many statements."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.key_repository import revoke
from app.accounts.tables import MemberRole, User
from app.core.database import Database, database_now
from app.core.pages import CursorSeal
from app.datasets.tables import DatasetVersion, VersionState
from app.events.log import START, PositionSeal
from app.events.repository import append_event
from app.jobs.life.log_pieces import append_log
from app.jobs.life.recording import ProgressReport, record_progress
from app.jobs.locks import Hold
from app.stream.items import View
from app.stream.source import PAGE_ROWS, DatabaseSource
from app.stream.watcher import Credential, CredentialKind
from tests.counting import statements_to
from tests.worlds.accounts import a_person, a_project
from tests.worlds.rows import WORKER_ID, Rows, a_job

pytestmark = pytest.mark.integration

IDLE = timedelta(days=1)
REPORT = ProgressReport(3, 10, 2, 5, {"box_loss": 1.5}, eta_seconds=9.0)


@pytest.fixture
def source(database: Database) -> DatabaseSource:
    return DatabaseSource(database, PositionSeal(CursorSeal(b"s")), silent=IDLE, idle=IDLE)


class TestState:
    def test_a_running_job_is_read_with_its_progress_and_the_size_of_its_log(
        self, database: Database, source: DatabaseSource, rows: Rows, hold: Hold
    ) -> None:
        a_job(database, rows)
        with database.write() as unit:
            record_progress(unit.session, hold, REPORT, lease=IDLE)
            append_log(unit.session, hold, offset=0, chunk=b"a" * 10)
            append_log(unit.session, hold, offset=10, chunk=b"b" * 7)

        with statements_to(database) as read:
            state = source.state()

        (running,) = state.running
        assert (running.id, running.worker_id) == (hold.job_id, WORKER_ID)
        assert (running.epoch, running.batch, running.log_bytes) == (3, 2, 17)
        assert [(lane.queue, lane.waiting) for lane in state.lanes] == [("default", 1)]
        assert len(read) == 4

    def test_a_version_in_verification_is_read_with_its_progress(
        self, database: Database, source: DatabaseSource, rows: Rows
    ) -> None:
        with database.write() as unit:
            begun = {"state": VersionState.VALIDATING, "manifest_digest": None}
            progress = {"step": "images", "done": 0.4}
            change = update(DatasetVersion).where(DatasetVersion.id == rows.version_id)
            unit.session.execute(change.values(**begun, progress=progress))

        (found,) = source.state().verifying

        assert found == (rows.version_id, rows.dataset_id, rows.project_id, progress)


class TestLog:
    def test_the_rows_of_one_job_are_one_page_among_many_others(
        self, database: Database, source: DatabaseSource, rows: Rows
    ) -> None:
        ours, other = a_job(database, rows), a_job(database, rows)
        with database.write() as unit:
            for seq in range(2, PAGE_ROWS + 9):
                append_event(unit.session, other, seq, "job.changed")
            append_event(unit.session, ours, 2, "job.changed")
        view = View.of({rows.project_id}, {"jobs:read"})

        whole = source.page_after(START, view)
        page = source.page_after(START, View(view.projects, view.scopes, ours))

        assert whole.has_more
        assert [item.job_id for item in page.items] == [ours]
        assert not page.has_more


class TestAccess:
    def test_the_valid_credentials_are_looked_up_together(
        self, database: Database, source: DatabaseSource
    ) -> None:
        here, there = a_project(database), a_project(database)
        both = a_person(database, {here: MemberRole.VIEWER, there: MemberRole.ADMIN})
        bound = a_person(database, {here: MemberRole.VIEWER}, scopes=["jobs:read"], bound_to=here)
        revoked, disabled = a_person(database), a_person(database)
        with database.write() as unit:
            client = Client("127.0.0.1")
            session = insert_session(unit.session, both.user_id, new_token(), client, lifetime=IDLE)
            revoke(unit.session, revoked.key_id)
            gone = update(User).where(User.id == disabled.user_id)
            unit.session.execute(gone.values(disabled_at=database_now()))
        people = (both, bound, revoked, disabled)
        keys = [Credential(CredentialKind.KEY, person.public_id) for person in people]
        sessions = [Credential(CredentialKind.SESSION, each) for each in (session, "ses_ended")]

        with statements_to(database) as read:
            found = source.access_of([*keys, *sessions])

        everything = {"jobs:read", "datasets:read", "workers:read"}
        assert found == {
            keys[0]: View.of({here, there}, everything),
            keys[1]: View.of({here}, {"jobs:read"}),
            sessions[0]: View.of({here, there}, everything),
        }
        assert read == ["SELECT api_keys", "SELECT sessions"]
