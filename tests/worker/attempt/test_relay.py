"""A trainer's events become rows: once each, in order, an epoch only with its checkpoint."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from app.artifacts.repository import checkpoints_of
from app.artifacts.tables import CondemnedObject
from app.core.database import Database
from app.core.guarded_files import GuardedFolder
from app.core.storage import ArtifactStore
from app.core.stored_objects import stored_digests
from app.jobs.end_reasons import EndReason
from app.jobs.locks import Hold
from app.jobs.spec.deciding_metric import FITNESS_OF
from app.jobs.states import Phase
from app.jobs.tables import Epoch, JobProgress
from tests.worker.conftest import Relayed, epoch_event
from tests.worlds.rows import events_of, job_row
from tests.worlds.worker import a_lease, attempts
from worker.attempt.claimed import AttemptFailed
from worker.attempt.relay import Relay
from worker.trainer.protocol import (
    BatchEvent,
    CheckpointEvent,
    ErrorEvent,
    Event,
    NoticeEvent,
    PhaseEvent,
    ResumedEvent,
    StartedEvent,
    WarningEvent,
    event_line,
)

pytestmark = pytest.mark.mostly_sqlite


def epochs(database: Database) -> list[int]:
    with database.read() as unit:
        return list(unit.session.scalars(select(Epoch.epoch).order_by(Epoch.epoch)))


def names_by_epoch(relayed: Relayed) -> dict[int | None, set[str]]:
    with relayed.database.read() as unit:
        rows = checkpoints_of(unit.session, relayed.job_id)
    return {row.epoch: {each.name for each in rows if each.epoch == row.epoch} for row in rows}


class TestOldCheckpoints:
    def test_bytes_of_old_checkpoints_are_left_to_the_collector(self, relayed: Relayed) -> None:
        for epoch in range(1, 6):
            relayed.handle(epoch_event(epoch, seq=2 * epoch - 1, fitness=epoch / 10))
            relayed.handle(relayed.checkpoint(epoch, seq=2 * epoch))

        with relayed.database.read() as unit:
            named = {row.sha256 for row in checkpoints_of(unit.session, relayed.job_id)}
            condemned = set(unit.session.scalars(select(CondemnedObject.sha256)))
        stored = {digest for page in stored_digests(relayed.store) for digest in page}
        assert (len(named), len(condemned)) == (2 * 3, 3 * 3)
        assert stored == named | condemned

    def test_bytes_of_a_state_with_two_newer_ones_are_left_to_the_collector(
        self, relayed: Relayed
    ) -> None:
        for epoch in range(1, 9):
            state = ("state.pt",) * (epoch in {2, 4, 6})
            relayed.handle(relayed.checkpoint(epoch, seq=epoch, best=False, kept=state))

        with relayed.database.read() as unit:
            rows = checkpoints_of(unit.session, relayed.job_id)
            condemned = set(unit.session.scalars(select(CondemnedObject.sha256)))
        assert [row.epoch for row in rows if row.name == "last.pt"] == [8, 7, 6, 4]
        assert [row.epoch for row in rows if row.name == "state.pt"] == [6, 4]
        stored = {digest for page in stored_digests(relayed.store) for digest in page}
        assert stored == {row.sha256 for row in rows} | condemned
        assert len(condemned) == 2 * 4 + 1


class TestLateStates:
    def test_the_files_of_an_epoch_stay_until_its_state_is_there(self, relayed: Relayed) -> None:
        for epoch in range(1, 5):
            event = relayed.checkpoint(epoch, seq=epoch, best=epoch == 1)
            relayed.handle(event.model_copy(update={"state_follows": epoch == 1}))
        before = names_by_epoch(relayed)

        relayed.handle(relayed.state(1, seq=5))
        relayed.handle(relayed.checkpoint(5, seq=6, best=False))

        assert before == {
            1: {"last.pt", "results.csv", "best.pt"},
            3: {"last.pt", "results.csv"},
            4: {"last.pt", "results.csv"},
        }
        assert names_by_epoch(relayed) == {
            1: {"last.pt", "results.csv", "best.pt", "state.pt"},
            4: {"last.pt", "results.csv"},
            5: {"last.pt", "results.csv"},
        }

    def test_a_state_that_never_comes_does_not_keep_files_once_another_one_is_awaited(
        self, relayed: Relayed
    ) -> None:
        for epoch in range(1, 6):
            event = relayed.checkpoint(epoch, seq=epoch, best=False)
            relayed.handle(event.model_copy(update={"state_follows": epoch in {1, 2}}))

        assert names_by_epoch(relayed).keys() == {2, 4, 5}

    def test_a_state_between_an_epoch_and_its_checkpoint_loses_neither(
        self, relayed: Relayed
    ) -> None:
        relayed.handle(relayed.checkpoint(1, seq=1))
        relayed.handle(epoch_event(2, seq=2, fitness=0.1))

        relayed.handle(relayed.state(1, seq=3))
        relayed.handle(relayed.checkpoint(2, seq=4))

        assert epochs(relayed.database) == [2]
        assert "state.pt" in names_by_epoch(relayed)[1]


class TestEpochs:
    def test_an_epoch_appears_only_with_its_checkpoint(self, relayed: Relayed) -> None:
        relayed.handle(epoch_event(1, seq=1, fitness=0.1))
        before = epochs(relayed.database)

        relayed.handle(relayed.checkpoint(1, seq=2))

        assert (before, epochs(relayed.database)) == ([], [1])

    def test_an_event_that_comes_twice_is_written_once(self, relayed: Relayed) -> None:
        for event in (epoch_event(1, seq=1, fitness=0.1), relayed.checkpoint(1, seq=2)):
            relayed.handle(event)
        before = job_row(relayed.database, relayed.job_id).last_seq

        for event in (epoch_event(1, seq=1, fitness=0.1), relayed.checkpoint(1, seq=2)):
            relayed.handle(event)

        assert job_row(relayed.database, relayed.job_id).last_seq == before

    def test_an_epoch_that_another_relay_reports_again_is_logged_once(
        self,
        database: Database,
        hold: Hold,
        store: ArtifactStore,
        run_directory: Path,
        checkpoint: Callable[..., CheckpointEvent],
    ) -> None:
        """This happens after a commit whose answer was lost."""
        for _ in range(2):
            relay = Relay(
                a_lease(database, hold),
                store,
                GuardedFolder(run_directory),
                epochs=3,
                deciding=FITNESS_OF["detect"],
            )
            relay.handle(epoch_event(1, seq=1, fitness=0.1))
            relay.handle(checkpoint(1, seq=2))

        types = [each.type for each in events_of(database, hold.job_id)]
        assert types.count("epoch.finished") == 1

    def test_the_best_epoch_is_the_one_whose_fitness_is_the_best_so_far(
        self, relayed: Relayed
    ) -> None:
        relayed.handle(epoch_event(1, seq=1, fitness=0.3))
        relayed.handle(relayed.checkpoint(1, seq=2))
        relayed.handle(epoch_event(2, seq=3, fitness=0.2, best=0.3))
        relayed.handle(relayed.checkpoint(2, seq=4, best=False))

        job = job_row(relayed.database, relayed.job_id)
        assert (job.best_epoch, job.best_metric, job.best_value) == (1, "fitness", 0.3)
        assert job.curve == [0.3, 0.2]

    def test_the_best_of_an_older_epoch_is_kept_for_a_resume(self, relayed: Relayed) -> None:
        for epoch in range(1, 5):
            relayed.handle(epoch_event(epoch, seq=2 * epoch - 1, fitness=0.1 / epoch, best=0.1))
            relayed.handle(relayed.checkpoint(epoch, seq=2 * epoch, best=epoch == 1))

        with relayed.database.read() as unit:
            rows = checkpoints_of(unit.session, relayed.job_id)
        kept = {(row.epoch, row.name) for row in rows}
        assert kept == {
            (1, "best.pt"),
            (3, "last.pt"),
            (3, "results.csv"),
            (4, "last.pt"),
            (4, "results.csv"),
        }
        assert all(relayed.store.exists(row.sha256) for row in rows)

    def test_the_newest_copy_of_each_kept_file_that_an_older_resume_needs_stays(
        self, relayed: Relayed
    ) -> None:
        made = {1: ("best_early.pt",), 2: ("best_late.pt",), 4: ("best_late.pt",)}
        for epoch in range(1, 5):
            relayed.handle(epoch_event(epoch, seq=2 * epoch - 1, fitness=epoch / 10))
            relayed.handle(relayed.checkpoint(epoch, seq=2 * epoch, kept=made.get(epoch, ())))

        with relayed.database.read() as unit:
            rows = checkpoints_of(unit.session, relayed.job_id)
        kept = {(row.name, row.epoch) for row in rows if row.name.startswith("best_")}
        assert kept == {("best_early.pt", 1), ("best_late.pt", 2), ("best_late.pt", 4)}


def started_event(*, seq: int, first_epoch: int = 1) -> StartedEvent:
    return StartedEvent(
        seq=seq,
        batches_per_epoch=5,
        epochs=3,
        first_epoch=first_epoch,
        batch_size=4,
        threads=1,
        device_name="NVIDIA " + "X" * 300,
        optimizer="SGD",
        lr0=0.01,
        train_images=18,
        val_images=8,
        environment={"torch": "2.9.1"},
    )


def batch_event(*, seq: int, epoch: int = 1, epochs: int = 3, batch: int = 1) -> BatchEvent:
    return BatchEvent(
        seq=seq,
        epoch=epoch,
        epochs=epochs,
        batch=batch,
        batches=9,
        losses={"box": 1.0},
        epoch_seconds=0.5,
        eta_seconds=3.5,
    )


def progress_of(relayed: Relayed) -> JobProgress:
    with relayed.database.read() as unit:
        return unit.session.get_one(JobProgress, relayed.job_id)


class TestProgress:
    def test_progress_is_recorded_once_a_second(self, relayed: Relayed) -> None:
        for batch in (1, 2):
            relayed.handle(batch_event(seq=batch, batch=batch))

        progress = progress_of(relayed)
        assert (progress.batch, progress.eta_seconds) == (1, 3.5)

    def test_a_validation_moves_progress_to_the_last_batch_of_its_epoch(
        self, relayed: Relayed
    ) -> None:
        for batch in (1, 2):
            relayed.handle(batch_event(seq=batch, batch=batch))

        relayed.handle(PhaseEvent(seq=3, phase=Phase.VALIDATING))

        progress = progress_of(relayed)
        assert progress.batch == progress.batches == 9

    def test_progress_has_the_last_epoch_that_the_trainer_expects(self, relayed: Relayed) -> None:
        relayed.handle(batch_event(seq=1, epochs=2))

        assert progress_of(relayed).epochs == 2

    def test_a_start_moves_progress_to_its_first_epoch_without_a_remaining_time(
        self, relayed: Relayed
    ) -> None:
        relayed.handle(batch_event(seq=1, epoch=3, batch=7))

        relayed.handle(started_event(seq=2, first_epoch=2))

        progress = progress_of(relayed)
        assert (progress.epoch, progress.epochs, progress.batch) == (2, 3, 0)
        assert (progress.batches, progress.eta_seconds) == (5, None)

    def test_finalizing_ends_progress_at_the_last_batch_of_the_epochs_done(
        self, relayed: Relayed
    ) -> None:
        relayed.handle(batch_event(seq=1, epoch=2))

        relayed.handle(PhaseEvent(seq=2, phase=Phase.FINALIZING, epochs_done=2))

        end = progress_of(relayed)
        assert (end.epoch, end.epochs, end.batch, end.eta_seconds) == (2, 2, 9, None)


class TestOtherEvents:
    def test_the_start_is_logged_and_its_device_kept(self, relayed: Relayed) -> None:
        started = started_event(seq=1)

        relayed.handle(started)

        job = job_row(relayed.database, relayed.job_id)
        assert job.device_name == ("NVIDIA " + "X" * 300)[:200]
        last = events_of(relayed.database, relayed.job_id)[-1]
        assert (last.type, last.data["train_images"]) == ("trainer.started", 18)

    def test_a_notice_becomes_an_event(self, relayed: Relayed) -> None:
        relayed.handle(NoticeEvent(seq=1, code="unfrozen", message="Unfrozen.", data={"epoch": 3}))

        last = events_of(relayed.database, relayed.job_id)[-1]
        said = {"code": "unfrozen", "message": "Unfrozen.", "data": {"epoch": 3}}
        assert (last.type, last.level, last.data) == ("trainer.notice", "info", said)

    @pytest.mark.parametrize(
        ("event", "level", "said"),
        [
            (
                ResumedEvent(seq=1, mode="exact", epoch=3, reason=None, message=None),
                "info",
                {"epoch": 3},
            ),
            (
                ResumedEvent(seq=1, mode="plain", epoch=3, reason="other_batch", message="16, 8."),
                "warning",
                {"epoch": 3, "reason": "other_batch", "message": "16, 8."},
            ),
        ],
        ids=["exact", "plain"],
    )
    def test_the_way_a_job_was_resumed_is_recorded_with_the_reason(
        self, relayed: Relayed, event: ResumedEvent, level: str, said: dict[str, object]
    ) -> None:
        relayed.handle(event)

        last = events_of(relayed.database, relayed.job_id)[-1]
        assert (last.type, last.level, last.data) == (f"resume.{event.mode}", level, said)
        assert [each.resumed for each in attempts(relayed.database, relayed.job_id)] == [event.mode]

    def test_the_phase_is_shown(self, relayed: Relayed) -> None:
        relayed.handle(PhaseEvent(seq=1, phase=Phase.VALIDATING))

        assert job_row(relayed.database, relayed.job_id).phase is Phase.VALIDATING

    def test_a_warning_becomes_an_event(self, relayed: Relayed) -> None:
        relayed.handle(WarningEvent(seq=1, code="odd", message="Odd."))

        last = events_of(relayed.database, relayed.job_id)[-1]
        assert (last.type, last.data) == ("trainer.warning", {"code": "odd", "message": "Odd."})


class TestPipe:
    def test_all_that_was_said_is_written_when_the_pipe_closes(
        self, relayed: Relayed, tmp_path: Path
    ) -> None:
        said: list[Event] = [
            epoch_event(1, seq=1, fitness=0.1),
            relayed.checkpoint(1, seq=2),
            ErrorEvent(seq=3, code=EndReason.DIVERGED, message="NaN.", hint="Lower lr0."),
        ]
        reading, writing = os.pipe()

        with relayed.relay.relaying(reading, tmp_path / "spool"):
            os.write(writing, b"".join(map(event_line, said)))
            os.close(writing)

        assert epochs(relayed.database) == [1]
        assert relayed.relay.error == said[2]

    def test_a_line_that_is_no_event_is_passed_over(self, relayed: Relayed, tmp_path: Path) -> None:
        reading, writing = os.pipe()

        with relayed.relay.relaying(reading, tmp_path / "spool"):
            os.write(
                writing,
                b"Downloading...\n{}\n" + event_line(PhaseEvent(seq=1, phase=Phase.TRAINING)),
            )
            os.close(writing)

        assert relayed.relay.failure is None
        assert job_row(relayed.database, relayed.job_id).phase is Phase.TRAINING

    def test_a_checkpoint_that_is_not_there_is_the_relays_failure(
        self, relay: Relay, tmp_path: Path
    ) -> None:
        reading, writing = os.pipe()
        absent = CheckpointEvent(seq=1, epoch=1, files={"last.pt": "outbox/absent"})

        with relay.relaying(reading, tmp_path / "spool"):
            os.write(writing, event_line(absent))
            os.close(writing)

        assert isinstance(relay.failure, AttemptFailed)
        assert relay.failure.reason is EndReason.TRAINER_BUG
