"""Counters of projects and users agree with the rows that they count, whatever happens to these."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import InstrumentedAttribute

from app.artifacts.tables import Artifact
from app.core.database import Database, database_now
from app.core.ids import new_id
from app.datasets.repository import NewVersion, delete_dataset, insert_version
from app.datasets.tables import DatasetVersion, StoredPack
from app.jobs.life.claim import claim_job
from app.jobs.states import USER_EVENTS, JobEvent, JobState
from app.jobs.tables import Job
from app.ops.recount import counters_are_true, repair_counters
from app.quotas.errors import QueueFull
from app.quotas.repository import (
    Consumer,
    Quota,
    check_within,
    counted_jobs,
    set_limits,
    usage_of,
)
from app.quotas.tables import Usage
from app.uploads.repository import NewUpload, finish_upload, insert_upload
from app.uploads.tables import Upload
from tests.databases import shared_database
from tests.jobs.driving import request
from tests.worlds.rows import OFFER, SHA, Rows, a_checkpoint, a_dataset, a_job, claim, some_rows

KEEP = timedelta(hours=1)


def used(database: Database, subject_id: str, quota: Quota) -> int:
    with database.read() as unit:
        return usage_of(unit.session, subject_id)[quota].used


def an_upload(database: Database, rows: Rows, *, size: int = 10) -> str:
    new = NewUpload(rows.project_id, rows.user_id, "a.zip", size, None)
    with database.write() as unit:
        return insert_upload(unit.session, new, spool_id="s", keep=KEEP).id


def a_pack(database: Database, rows: Rows, *, size: int = 7) -> None:
    values = {
        "id": new_id("pack"),
        "project_id": rows.project_id,
        "sha256": new_id("sha"),
        "size_bytes": size,
        "created_at": database_now(),
    }
    with database.write() as unit:
        unit.session.execute(insert(StoredPack).values(values))


class TestJobs:
    def test_a_job_counts_for_its_project_and_its_user(
        self, database: Database, rows: Rows
    ) -> None:
        a_job(database, rows)
        a_job(database, rows)
        claim(database)

        for subject_id in (rows.project_id, rows.user_id):
            assert used(database, subject_id, Quota.QUEUED_JOBS) == 1
            assert used(database, subject_id, Quota.RUNNING_JOBS) == 1

    def test_a_job_counts_by_its_state_and_apart_in_the_trash(
        self, database: Database, rows: Rows
    ) -> None:
        job_ids = [a_job(database, rows, state=JobState.CANCELLED) for _ in range(2)]

        with database.write() as unit:
            trashed = update(Job).where(Job.id == job_ids[0]).values(trashed_at=database_now())
            unit.session.execute(trashed)

        with database.read() as unit:
            listed, trash = (
                counted_jobs(unit.session, [rows.project_id], in_trash=in_trash)
                for in_trash in (False, True)
            )
        assert (listed["cancelled"], trash["cancelled"]) == (1, 1)
        assert sum(listed.values()) + sum(trash.values()) == 2

    def test_a_rolled_back_submit_counts_for_nothing(self, database: Database, rows: Rows) -> None:
        a_job(database, rows)

        with database.write() as unit:
            unit.session.execute(update(Job).values(state=JobState.PAUSED))
            unit.session.rollback()

        assert used(database, rows.project_id, Quota.QUEUED_JOBS) == 1

    def test_one_of_two_submits_for_the_last_place_succeeds(
        self, database: Database, rows: Rows
    ) -> None:
        job_ids = [a_job(database, rows) for _ in range(3)]
        consumer, together = Consumer(rows.project_id, rows.user_id), Barrier(2)
        with database.write() as unit:
            unit.session.execute(
                update(Job).where(Job.id.in_(job_ids[1:])).values(state=JobState.PAUSED)
            )
            set_limits(unit.session, rows.project_id, {Quota.QUEUED_JOBS: 2})

        def queue(job_id: str) -> bool:
            together.wait(timeout=30)
            try:
                with database.write() as unit:
                    statement = update(Job).where(Job.id == job_id)
                    unit.session.execute(statement.values(state=JobState.QUEUED))
                    check_within(unit.session, consumer, Quota.QUEUED_JOBS)
            except QueueFull:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            taken = list(pool.map(queue, job_ids[1:]))

        assert sorted(taken) == [False, True]
        assert used(database, rows.project_id, Quota.QUEUED_JOBS) == 2


class TestBytes:
    def test_artifacts_of_a_deleted_job_count_no_longer(
        self, database: Database, rows: Rows
    ) -> None:
        before = used(database, rows.project_id, Quota.STORED_BYTES)
        job_id = a_job(database, rows)
        a_checkpoint(database, job_id, epoch=1)
        a_checkpoint(database, job_id, epoch=2)
        counted = used(database, rows.project_id, Quota.STORED_BYTES)

        with database.write() as unit:
            unit.session.execute(delete(Job).where(Job.id == job_id))

        assert counted == before + 2
        assert used(database, rows.project_id, Quota.STORED_BYTES) == before

    def test_an_upload_counts_as_announced_and_once_finished_as_stored(
        self, database: Database, rows: Rows
    ) -> None:
        before = used(database, rows.user_id, Quota.STORED_BYTES)
        upload_id = an_upload(database, rows, size=10)
        announced = used(database, rows.user_id, Quota.UPLOADED_BYTES)
        with database.write() as unit:
            unit.session.execute(update(Upload).values(offset_bytes=10))
            finish_upload(unit.session, upload_id, SHA)

        assert announced == 10
        assert used(database, rows.user_id, Quota.STORED_BYTES) == before + 10

    def test_an_archive_counts_until_its_bytes_are_no_longer_referenced(
        self, database: Database, rows: Rows
    ) -> None:
        with database.write() as unit:
            version = insert_version(unit.session, rows.dataset_id, NewVersion(SHA, 40, None, {}))
        counted = used(database, rows.project_id, Quota.STORED_BYTES)

        with database.write() as unit:
            statement = update(DatasetVersion).where(DatasetVersion.id == version.id)
            unit.session.execute(statement.values(upload_removed_at=database_now()))

        assert counted - used(database, rows.project_id, Quota.STORED_BYTES) == 40


class TestRecount:
    def test_a_wrong_counter_is_repaired(self, database: Database, rows: Rows) -> None:
        a_job(database, rows)
        with database.write() as unit:
            unit.session.execute(update(Usage).values(queued_jobs=5))
            unit.session.execute(text("UPDATE lanes SET waiting = 0"))

        assert repair_counters(database)

        assert used(database, rows.project_id, Quota.QUEUED_JOBS) == 1
        assert claim(database).job_id
        assert not repair_counters(database)

    def test_limits_outlive_a_recount(self, database: Database, rows: Rows) -> None:
        with database.write() as unit:
            set_limits(unit.session, rows.project_id, {Quota.RUNNING_JOBS: 3})
            unit.session.execute(update(Usage).values(stored_bytes=99))

        repair_counters(database)

        with database.read() as unit:
            assert usage_of(unit.session, rows.project_id)[Quota.RUNNING_JOBS].limit == 3


class TestTriggers:
    def test_a_migrated_database_has_all_triggers(self, database: Database) -> None:
        catalogue = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            if database.is_sqlite
            else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        )
        with database.read() as unit:
            names = set(unit.session.scalars(text(catalogue)))

        tables = ("jobs", "artifacts", "packs", "uploads", "dataset_versions", "models")
        events = ("_insert", "_update", "_delete") if database.is_sqlite else ("",)
        expected = {f"usage_{table}{event}" for table in tables for event in events}
        assert names == expected | {"usage_jobs_forget"}


class Life(RuleBasedStateMachine):
    """Anything that happens to jobs, files, uploads and datasets of two projects."""

    database: Database
    owners: tuple[Rows, ...]

    owner = st.integers(0, 1)
    number = st.integers(0, 9)

    def _one(self, column: InstrumentedAttribute[str], number: int) -> str | None:
        with self.database.read() as unit:
            ids = unit.session.scalars(select(column).order_by(column).limit(10)).all()
        return ids[number % len(ids)] if ids else None

    @rule(owner=owner, priority=st.integers(-1, 1))
    def submit(self, owner: int, priority: int) -> None:
        a_job(self.database, self.owners[owner], priority=priority)

    @rule()
    def claim(self) -> None:
        with self.database.write() as unit:
            claim_job(unit.session, OFFER, lease=KEEP)

    @rule(number=number, asked=st.sampled_from(USER_EVENTS))
    def ask(self, number: int, asked: JobEvent) -> None:
        job_id = self._one(Job.id, number)
        if job_id is not None:
            request(self.database, job_id, asked)

    @rule(number=number, priority=st.integers(-1, 1))
    def change_priority(self, number: int, priority: int) -> None:
        with self.database.write() as unit:
            statement = update(Job).where(Job.id == self._one(Job.id, number))
            unit.session.execute(statement.values(priority=priority))

    @rule(number=number)
    def store_a_file(self, number: int) -> None:
        job_id = self._one(Job.id, number)
        if job_id is not None:
            with self.database.write() as unit:
                unit.session.execute(
                    insert(Artifact).values(
                        id=new_id("art"), job_id=job_id, attempt=1, kind="log",
                        name=new_id("name"), size_bytes=3, sha256=SHA, created_at=database_now(),
                    )
                )  # fmt: skip

    @rule(number=number, what=st.sampled_from(("trash", "restore", "purge")))
    def remove(self, number: int, what: str) -> None:
        chosen = Job.id == self._one(Job.id, number)
        ended = Job.state.in_([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
        trashed = update(Job).where(chosen, ended)
        with self.database.write() as unit:
            if what == "purge":
                unit.session.execute(delete(Job).where(chosen))
            else:
                at = database_now() if what == "trash" else None
                unit.session.execute(trashed.values(trashed_at=at))

    @rule(owner=owner, size=st.integers(1, 50))
    def upload(self, owner: int, size: int) -> None:
        an_upload(self.database, self.owners[owner], size=size)

    @rule(number=number)
    def finish_an_upload(self, number: int) -> None:
        upload_id = self._one(Upload.id, number)
        with self.database.write() as unit:
            statement = update(Upload).where(Upload.id == upload_id)
            unit.session.execute(statement.values(offset_bytes=Upload.size_bytes, sha256=SHA))

    @rule(number=number)
    def remove_an_upload(self, number: int) -> None:
        with self.database.write() as unit:
            unit.session.execute(delete(Upload).where(Upload.id == self._one(Upload.id, number)))

    @rule(owner=owner)
    def add_a_pack(self, owner: int) -> None:
        a_pack(self.database, self.owners[owner])

    @rule(owner=owner)
    def add_a_dataset_and_delete_it(self, owner: int) -> None:
        rows = self.owners[owner]
        with self.database.write() as unit:
            name = new_id("name")
            dataset_id, _ = a_dataset(unit.session, rows.project_id, rows.user_id, name=name)
        with self.database.write() as unit:
            delete_dataset(unit.session, dataset_id)

    @invariant()
    def the_counters_are_true(self) -> None:
        with self.database.read() as unit:
            assert counters_are_true(unit.session)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lived_in(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    for url in shared_database(request, tmp_path_factory):
        database = Database(url, pool_size=2)
        yield database
        database.dispose()


class TestLife:
    def test_counters_are_true_after_any_life_of_jobs_and_files(self, lived_in: Database) -> None:
        owners = (some_rows(lived_in), some_rows(lived_in, name="other"))
        machine = type("AnyLife", (Life,), {"database": lived_in, "owners": owners})

        run_state_machine_as_test(
            machine, settings=settings(max_examples=6, stateful_step_count=20)
        )
