"""Rows are deleted after their retention time, with all that depends on them; both databases."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, insert, select, update

from app.accounts.authentication import Principal
from app.accounts.tables import ApiKey, KeyKind
from app.artifacts.repository import checkpoints_of
from app.core.context import Context
from app.core.database import database_now
from app.core.ids import new_id
from app.core.pages import CursorSeal
from app.events.tables import EventRow
from app.jobs.commands.control import apply_user_event
from app.jobs.commands.idempotency import KeyUse, insert_idempotency_key
from app.jobs.errors import GraceIsOver, JobNotFound
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import IdempotencyKey, Job
from app.ops.retention import drop_outdated_state, purge_job
from tests.ops.stored_bytes import (
    A_WEEK_AND_MORE,
    LONG_AGO,
    Instance,
    a_trashed_job,
    digest_of,
    insert_artifact,
    jobs_in,
)
from tests.waiting import eventually
from tests.worlds.rows import Rows, a_checkpoint, a_job, job_row, principal_of, some_rows

pytestmark = pytest.mark.mostly_sqlite

WEEK, DAY = timedelta(days=7), timedelta(days=1)
A_FORTNIGHT_AND_MORE = timedelta(days=-15)


class TestTrashedJobs:
    def test_a_trashed_job_goes_after_a_week_with_its_rows_and_then_its_bytes(
        self, instance: Instance
    ) -> None:
        rows = some_rows(instance.database)
        old = a_trashed_job(instance, rows, since=A_WEEK_AND_MORE)
        young = a_trashed_job(instance, rows, since=LONG_AGO)
        insert_artifact(instance, old, instance.put(1))

        collected = instance.collect()

        assert collected.trashed_jobs == 1
        assert jobs_in(instance) == {young}
        assert instance.condemned() == {digest_of(1)}
        with instance.database.read() as unit:
            left = select(func.count()).select_from(EventRow).where(EventRow.job_id == old)
            assert unit.session.scalar(left) == 0

    def test_bytes_that_another_job_begins_from_stay(self, instance: Instance) -> None:
        rows = some_rows(instance.database)
        old = a_trashed_job(instance, rows, since=A_WEEK_AND_MORE)
        insert_artifact(instance, old, instance.put(1))
        a_job(instance.database, rows, model_sha256=digest_of(1))

        instance.collect()
        instance.let_the_grace_pass()
        instance.collect()

        assert instance.stored() == {digest_of(1)}

    def test_a_child_of_a_purged_job_remains_without_a_parent(self, instance: Instance) -> None:
        rows = some_rows(instance.database)
        old = a_trashed_job(instance, rows, since=A_WEEK_AND_MORE)
        child = a_job(instance.database, rows, parent_id=old)

        instance.collect()

        assert jobs_in(instance) == {child}
        assert job_row(instance.database, child).parent_id is None

    def test_a_trashed_job_that_was_restored_meanwhile_stays(self, instance: Instance) -> None:
        old = a_trashed_job(instance, some_rows(instance.database), since=A_WEEK_AND_MORE)
        with instance.database.write() as unit:
            unit.session.execute(update(Job).where(Job.id == old).values(trashed_at=None))

        assert not purge_job(instance.database, old, after=WEEK, grace=DAY)

        assert jobs_in(instance) == {old}

    def test_a_job_restored_as_its_grace_ends_is_there_or_gone_and_never_both(
        self, instance: Instance
    ) -> None:
        rows, seen = some_rows(instance.database), Counter[str]()
        left = timedelta(milliseconds=20)  # grace left; found by trial, so that both happen
        owner = principal_of(rows)
        with ThreadPoolExecutor(2) as pool:
            for _ in range(40):
                job_id = a_trashed_job(instance, rows, since=left - WEEK)
                purging = pool.submit(purged, instance, job_id)
                restored = pool.submit(restored_by, owner, instance, job_id)

                outcome = "restored" if restored.result() else "gone"
                seen[outcome] += 1
                left *= 0.7 if outcome == "restored" else 1.5

                assert purging.result() is (outcome == "gone")
                assert jobs_in(instance) == ({job_id} if outcome == "restored" else set())
                with instance.database.write() as unit:
                    unit.session.execute(delete(Job).where(Job.id == job_id))
        assert set(seen) == {"restored", "gone"}


def purged(instance: Instance, job_id: str) -> bool:
    """Purge the job as soon as its grace ends; return False if it was restored."""

    def done() -> str | None:
        if purge_job(instance.database, job_id, after=WEEK, grace=DAY):
            return "purged"
        return None if job_row(instance.database, job_id).trashed_at else "restored"

    return eventually(done, within=20) == "purged"


def restored_by(owner: Principal, instance: Instance, job_id: str) -> bool:
    """Restore the job, as a request does."""
    context = Context(
        settings=instance.settings,
        database=instance.database,
        store=instance.store,
        cursors=CursorSeal(b"of nobody"),
        ring=lambda *_: None,
        wake_verifier=lambda: None,
    )
    try:
        apply_user_event(context, owner, job_id, JobEvent.RESTORE)
    except (GraceIsOver, JobNotFound):
        return False
    return True


def an_ended_job(
    instance: Instance, rows: Rows, state: JobState, *, since: timedelta = A_FORTNIGHT_AND_MORE
) -> str:
    """Add an ended job: two epochs, a state of the second; objects 1 to 5 are its files."""
    job_id = a_job(instance.database, rows, state=state, ended_at=database_now(since))
    made = [("last.pt", 1), ("results.csv", 1), ("last.pt", 2), ("results.csv", 2), ("state.pt", 2)]
    for number, (name, epoch) in enumerate(made, 1):
        digest = instance.put(number)
        a_checkpoint(instance.database, job_id, name=name, epoch=epoch, sha256=digest)
    return job_id


def kept_by(instance: Instance, job_id: str) -> list[tuple[str, int | None]]:
    with instance.database.read() as unit:
        return sorted((row.name, row.epoch) for row in checkpoints_of(unit.session, job_id))


class TestTrainingStates:
    def test_a_job_that_succeeded_loses_everything_that_only_a_resume_needs(
        self, instance: Instance
    ) -> None:
        job_id = an_ended_job(instance, some_rows(instance.database), JobState.SUCCEEDED)

        planned, collected = instance.collector().dry_run(), instance.collect()

        assert (planned.training_states, collected.training_states) == (1, 1)
        assert kept_by(instance, job_id) == []
        assert instance.condemned() == {digest_of(number) for number in range(1, 6)}

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
    def test_a_job_that_failed_keeps_the_weights_that_a_retry_continues_from(
        self, instance: Instance, state: JobState
    ) -> None:
        job_id = an_ended_job(instance, some_rows(instance.database), state)

        assert [instance.collect().training_states for _ in range(2)] == [1, 0]

        assert "state.pt" not in {name for name, _ in kept_by(instance, job_id)}
        assert len(kept_by(instance, job_id)) == 4
        assert instance.condemned() == {digest_of(5)}

    @pytest.mark.parametrize(
        ("state", "since"),
        [
            pytest.param(JobState.SUCCEEDED, LONG_AGO, id="lately"),
            pytest.param(JobState.QUEUED, None, id="retried"),
            pytest.param(JobState.PAUSED, None, id="paused"),
        ],
    )
    def test_jobs_that_ended_lately_or_wait_keep_their_training_states(
        self, instance: Instance, state: JobState, since: timedelta | None
    ) -> None:
        job_id = an_ended_job(instance, some_rows(instance.database), JobState.FAILED)
        values = {"state": state, "ended_at": database_now(since) if since else None}
        with instance.database.write() as unit:
            unit.session.execute(update(Job).where(Job.id == job_id).values(**values))

        assert instance.collect().training_states == 0

        assert len(kept_by(instance, job_id)) == 5

    def test_a_job_that_is_retried_meanwhile_keeps_its_state(self, instance: Instance) -> None:
        job_id = an_ended_job(instance, some_rows(instance.database), JobState.FAILED)
        with instance.database.write() as unit:
            unit.session.execute(
                update(Job).where(Job.id == job_id).values(state=JobState.QUEUED, ended_at=None)
            )

        assert not drop_outdated_state(instance.database, job_id, after=WEEK, grace=DAY)

        assert ("state.pt", 2) in kept_by(instance, job_id)

    def test_a_state_that_another_job_was_extended_from_stays_in_the_store(
        self, instance: Instance
    ) -> None:
        rows = some_rows(instance.database)
        an_ended_job(instance, rows, JobState.SUCCEEDED)
        child = a_job(instance.database, rows)
        a_checkpoint(instance.database, child, name="state.pt", epoch=2, sha256=digest_of(5))

        for _ in range(2):
            instance.collect()
            instance.let_the_grace_pass()
            instance.let_the_hold_pass()

        assert instance.stored() == {digest_of(5)}


class TestExpiredRows:
    def test_idempotency_keys_go_after_a_day(self, instance: Instance) -> None:
        rows = some_rows(instance.database)
        job_id = a_job(instance.database, rows)
        with instance.database.write() as unit:
            for key in ("old", "new"):
                use = KeyUse(key, "0" * 64)
                insert_idempotency_key(unit.session, rows.user_id, use, job_id=job_id)
            unit.session.execute(
                update(IdempotencyKey)
                .where(IdempotencyKey.key == "old")
                .values(created_at=database_now(LONG_AGO))
            )

        assert instance.collect().expired_rows == 1

        with instance.database.read() as unit:
            assert unit.session.scalars(select(IdempotencyKey.key)).all() == ["new"]

    def test_api_keys_go_a_grace_after_they_could_be_used(self, instance: Instance) -> None:
        user_id = some_rows(instance.database).user_id
        times: dict[str, dict[str, object]] = {
            "expired": {"expires_at": database_now(LONG_AGO)},
            "revoked": {"revoked_at": database_now(LONG_AGO)},
            "lately": {"expires_at": database_now(timedelta(hours=-1))},
            "for ever": {},
        }
        with instance.database.write() as unit:
            for label, columns in times.items():
                unit.session.execute(insert(ApiKey).values(**_key(user_id, label), **columns))

        planned, collected = instance.collector().dry_run(), instance.collect()

        assert (planned.expired_rows, collected.expired_rows) == (2, 2)
        with instance.database.read() as unit:
            left = set(unit.session.scalars(select(ApiKey.label)))
        assert left == {"lately", "for ever"}


def _key(user_id: str, label: str) -> dict[str, object]:
    return {
        "id": new_id("key"),
        "user_id": user_id,
        "kind": KeyKind.USER,
        "public_id": label,
        "secret_sha256": b"0" * 32,
        "label": label,
        "scopes": [],
        "created_at": database_now(LONG_AGO),
    }
