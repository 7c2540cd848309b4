"""The collector thread removes leftovers of killed processes and keeps files of live ones."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError
from structlog.testing import capture_logs

from app.core.database import Database
from app.core.errors import Unavailable
from app.ops.collector import Collected
from app.settings.retention import GarbageSettings
from tests.ops.stored_bytes import Instance, an_instance, digest_of
from tests.waiting import eventually

TWO_DAYS_AGO = time.time() - 2 * 86_400


def written_long_ago(path: Path) -> None:
    for each in (*path.rglob("*"), path):
        os.utime(each, (TWO_DAYS_AGO, TWO_DAYS_AGO), follow_symlinks=False)


class TestLeftovers:
    def test_only_leftovers_that_were_not_written_to_for_long_are_removed(
        self, instance: Instance
    ) -> None:
        spool = instance.settings.home / "spool"
        for name in ("verify-dead", "verify-alive"):
            (spool / name / "output").mkdir(parents=True)
            (spool / name / "output" / "pack.zip").write_bytes(b"half")
        for name in ("upload_dead.zip", "upload_alive.zip"):
            (spool / name).write_bytes(b"half")
        (spool / "verify-dead" / "link").symlink_to("nowhere")
        for each in spool.iterdir():
            written_long_ago(each)
        (spool / "verify-alive" / "output" / "pack.zip").write_bytes(b"more")
        (spool / "upload_alive.zip").write_bytes(b"more")

        assert instance.collect().leftover_files == 2

        assert {each.name for each in spool.iterdir()} == {"verify-alive", "upload_alive.zip"}


class TestThread:
    def test_a_collector_collects_until_it_is_stopped(
        self, database: Database, tmp_path: Path
    ) -> None:
        made = an_instance(database, tmp_path / "home")
        quick = GarbageSettings(period_seconds=0.05)
        instance = replace(made, settings=made.settings.model_copy(update={"garbage": quick}))
        instance.put(1)

        with instance.collector():
            eventually(lambda: instance.condemned() == {digest_of(1)}, within=20)
            instance.let_the_grace_pass()
            eventually(lambda: instance.aside() == {digest_of(1)}, within=20)
            instance.let_the_hold_pass()
            eventually(lambda: instance.aside() == set(), within=20)

        assert instance.stored() == set()

    @pytest.mark.parametrize(
        ("error", "entry"),
        [
            (
                OperationalError("SELECT", {}, Exception("connection refused")),
                ("garbage.database_unavailable", "warning"),
            ),
            (Unavailable("the store is away"), ("garbage.storage_unavailable", "warning")),
            (OSError("input/output error"), ("garbage.storage_unavailable", "warning")),
            (ProgrammingError("SELECT", {}, Exception()), ("garbage.failed", "error")),
            (RuntimeError("jammed"), ("garbage.failed", "error")),
        ],
        ids=["database", "store", "disk", "statement", "unforeseen"],
    )
    def test_a_failure_is_logged_by_its_kind_and_the_thread_continues(
        self,
        instance: Instance,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        entry: tuple[str, str],
    ) -> None:
        quick = GarbageSettings(period_seconds=0.01)
        settings = instance.settings.model_copy(update={"garbage": quick})
        collector = replace(instance, settings=settings).collector()
        turns: list[Exception] = []

        def collect_or_fail() -> Collected:
            turns.append(error)
            if len(turns) == 1:
                raise error
            return Collected()

        monkeypatch.setattr(collector, "collect", collect_or_fail)

        with capture_logs() as logged, collector:
            eventually(lambda: len(turns) > 1, within=20)

        assert [(line["event"], line["log_level"]) for line in logged] == [entry]
