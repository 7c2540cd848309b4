"""Attempt directories: one with a live supervisor is never treated as abandoned."""

import threading
from pathlib import Path

from app.core.database import Database
from tests.worlds.worker import a_worker
from worker.attempt.directory import clear_dead_attempts, private_directory
from worker.tasks import work_on

ROUNDS = 200


class TestClearDeadAttempts:
    def test_an_attempt_that_begins_during_the_clearing_is_left_alone(self, tmp_path: Path) -> None:
        folder, ended, cleared = tmp_path / "attempts", threading.Event(), list[str]()

        def clear() -> None:
            while not ended.is_set():
                cleared.extend(clear_dead_attempts(folder))

        thread = threading.Thread(target=clear)
        thread.start()
        for number in range(ROUNDS):
            with private_directory(folder, f"job_1-{number}") as root:
                assert root.is_dir()
        ended.set()
        thread.join()

        assert cleared == []


class TestWorkOn:
    def test_a_bell_clears_up_after_a_slot_that_is_gone(
        self, database: Database, tmp_path: Path
    ) -> None:
        context = a_worker(database, tmp_path).context
        dead = context.attempts_folder / "job_of_the_dead-1"
        (dead / "run").mkdir(parents=True)

        work_on(context)

        assert not dead.exists()
