"""No named object is lost while writers and collectors race, or when a collector is killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.artifacts.repository import has_checkpoint
from app.core.crash_points import CRASH_AT_VARIABLE, TESTING_VARIABLE, CrashPoint
from app.core.database import Database, database_now
from app.core.stored_objects import aside_objects, stored_digests
from app.datasets.tables import DatasetVersion
from app.jobs.states import JobState
from app.models.repository import NewWeights, insert_model
from app.models.tables import ModelSource
from app.ops.garbage import conclude_aside, condemn_orphans, set_due_objects_aside
from tests.ops.stored_bytes import (
    A_WEEK_AND_MORE,
    Instance,
    a_trashed_job,
    an_instance,
    content_of,
    digest_of,
    insert_artifact,
    jobs_in,
)
from tests.waiting import eventually
from tests.worlds.rows import Rows, a_checkpoint, a_job, some_rows

pytestmark = pytest.mark.integration

CONTENTS = 100
HOLD = timedelta(seconds=2)
ENOUGH = 60


@dataclass
class Race:
    """The state that the threads of a race share."""

    instance: Instance
    stopping: threading.Event = field(default_factory=threading.Event)
    seen: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def write(self, writer: int) -> None:
        """Repeatedly store bytes that others store too, name them, read them and forget them."""
        choice, round_ = random.Random(writer), 0
        while not self.stopping.wait(choice.uniform(0, 0.05)):
            number, round_ = choice.randrange(CONTENTS), round_ + 1
            self._store_and_name(number, f"{writer}-{round_}.pt")

    def _store_and_name(self, number: int, name: str) -> None:
        instance, path = self.instance, self.instance.settings.home / name
        path.write_bytes(content_of(number))
        began = time.monotonic()
        digest = instance.store.put_file(path).sha256
        weights = NewWeights(name, "detect", ModelSource.FILE, digest, 1)
        with instance.database.write() as unit:
            model = insert_model(unit.session, weights)
        in_time = time.monotonic() - began < HOLD.total_seconds() / 2
        for _ in range(3):
            if in_time and not instance.is_whole(number):
                self.lost.append(name)
            self.stopping.wait(0.01)
        with instance.database.write() as unit:
            unit.session.delete(unit.session.merge(model))
        self.seen["named"] += in_time

    def collect(self) -> None:
        """Condemn without a grace time, set aside and erase, as fast as possible."""
        database, store = self.instance.database, self.instance.store
        while not self.stopping.wait(0.01):
            for page in stored_digests(store):
                condemn_orphans(database, page, grace=timedelta())
            _, moved = set_due_objects_aside(database, store, hold=HOLD)
            self.seen["set aside"] += moved
            for aside in aside_objects(store):
                restored, erased = conclude_aside(database, store, aside)
                self.seen["put back"] += restored
                self.seen["erased"] += erased

    def is_run(self) -> bool:
        enough = self.seen["named"] >= ENOUGH and self.seen["erased"] >= ENOUGH
        return enough or bool(self.lost)


class TestWritersAndCollectors:
    def test_nothing_that_is_named_is_lost(self, instance: Instance) -> None:
        race = Race(instance)
        threads = [
            *(threading.Thread(target=race.write, args=(writer,)) for writer in range(3)),
            *(threading.Thread(target=race.collect) for _ in range(2)),
        ]
        for thread in threads:
            thread.start()

        eventually(race.is_run, within=60, message=lambda: f"too little happened: {race.seen}")
        race.stopping.set()
        for thread in threads:
            thread.join()

        assert race.lost == []
        assert race.seen["set aside"] > 0


PASSINGS = {
    CrashPoint.OBJECT_COPIED_ASIDE: 2,
    CrashPoint.OBJECT_SET_ASIDE: 2,
    CrashPoint.JOB_PURGE_BEFORE_COMMIT: 1,
    CrashPoint.STATE_DROP_BEFORE_COMMIT: 1,
    CrashPoint.UPLOADS_REMOVED_BEFORE_COMMIT: 1,
    CrashPoint.ASIDE_ERASED: 2,
}


class TestAKilledCollector:
    @pytest.mark.parametrize("point", PASSINGS, ids=str)
    @pytest.mark.mostly_sqlite
    def test_a_killed_collector_leaves_what_the_next_one_finishes(
        self, database: Database, database_url: str, tmp_path: Path, point: CrashPoint
    ) -> None:
        instance = an_instance(database, tmp_path / "home")
        aside_already(instance, 1, 2, 3)
        rows = some_rows(database)
        unused = an_unused_upload(instance, rows, 10)
        old = a_trashed_job(instance, rows, since=A_WEEK_AND_MORE)
        insert_artifact(instance, old, instance.put(9))
        ended = a_job_with_an_outdated_state(instance, 8)
        for number in (4, 5, 6, 7):
            instance.put(number)
        instance.name(7)
        condemn_orphans(database, [digest_of(each) for each in (4, 5, 6)], grace=timedelta())

        assert collect_and_die(instance, database_url, point) == -signal.SIGKILL
        assert instance.is_whole(7)
        if old in jobs_in(instance):
            assert instance.is_whole(9), "the rows go before the bytes"
        if has_checkpoint_of(instance, ended):
            assert instance.is_whole(8), "the rows go before the bytes"
        if keeps_upload(instance, unused):
            assert instance.is_whole(10), "the reference goes before the bytes"

        for _ in range(3):
            instance.collect()
            instance.let_the_grace_pass()
            instance.let_the_hold_pass()
        assert (instance.stored(), instance.aside()) == ({digest_of(7)}, set())
        assert jobs_in(instance) == {ended}


def an_unused_upload(instance: Instance, rows: Rows, number: int) -> str:
    """Let the version have an archive that was not used for long."""
    values = {
        "archive_sha256": instance.put(number),
        "upload_used_at": database_now(timedelta(days=-90)),
    }
    with instance.database.write() as unit:
        of_version = DatasetVersion.id == rows.version_id
        unit.session.execute(update(DatasetVersion).where(of_version).values(values))
    return rows.version_id


def keeps_upload(instance: Instance, version_id: str) -> bool:
    with instance.database.read() as unit:
        return unit.session.get_one(DatasetVersion, version_id).upload_removed_at is None


def a_job_with_an_outdated_state(instance: Instance, number: int) -> str:
    rows = some_rows(instance.database, name="other")
    a_month_ago = database_now(timedelta(days=-30))
    ended = a_job(instance.database, rows, state=JobState.SUCCEEDED, ended_at=a_month_ago)
    instance.put(number)
    for name in ("last.pt", "state.pt"):
        a_checkpoint(instance.database, ended, name=name, sha256=digest_of(number))
    return ended


def has_checkpoint_of(instance: Instance, job_id: str) -> bool:
    with instance.database.read() as unit:
        return has_checkpoint(unit.session, job_id)


def aside_already(instance: Instance, *numbers: int) -> None:
    for number in numbers:
        instance.put(number)
    instance.collect()
    instance.let_the_grace_pass()
    set_due_objects_aside(instance.database, instance.store, hold=timedelta(minutes=1))
    instance.let_the_hold_pass()


def collect_and_die(instance: Instance, url: str, point: CrashPoint) -> int:
    environment = os.environ | {
        "TRAINYARD_HOME": str(instance.settings.home),
        "TRAINYARD_DATABASE_URL": url,
        TESTING_VARIABLE: "1",
        CRASH_AT_VARIABLE: f"{point}:{PASSINGS[point]}",
    }
    argv = [sys.executable, "-m", "app.cli", "collect"]
    return subprocess.run(argv, env=environment, check=False, timeout=60).returncode
