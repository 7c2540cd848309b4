"""Bytes are erased once no row has named them for the grace time, never before; both databases."""

import shutil
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import String, delete, select

from app.artifacts.repository import condemn
from app.artifacts.tables import CondemnedObject
from app.core.database import database_now
from app.core.errors import Unavailable
from app.models.tables import Model
from app.ops.garbage import REFERENCES, named
from app.tables import METADATA
from tests.ops.stored_bytes import Instance, digest_of, insert_artifact
from tests.worlds.rows import a_job, some_rows

NAME_NO_OBJECT = {
    "condemned_objects.sha256",  # the collector's own records
    "damaged_objects.sha256",  # a note about an object, which does not keep it
    "idempotency_keys.request_sha256",  # digest of a request
    "packed_bytes.sha256",  # digest of a file inside a pack
}


class TestReferences:
    def test_every_column_that_holds_a_digest_is_asked_or_names_no_object(self) -> None:
        digests = {
            str(column)
            for table in METADATA.tables.values()
            for column in table.columns
            if isinstance(column.type, String) and column.type.length == 64
            if "sha256" in column.name or "digest" in column.name
        }

        asked = {str(each.property.columns[0]) for each in REFERENCES}
        assert asked == digests - NAME_NO_OBJECT

    def test_an_object_is_named_by_jobs_artifacts_datasets_and_models(
        self, instance: Instance
    ) -> None:
        rows = some_rows(instance.database)  # names "ab" * 32 as archive and pack
        job_id = a_job(instance.database, rows, model_sha256=digest_of(1))
        insert_artifact(instance, job_id, digest_of(2))
        instance.name(3)
        asked = ["ab" * 32, *map(digest_of, range(1, 5))]

        with instance.database.read() as unit:
            assert named(unit.session, asked) == set(asked) - {digest_of(4)}


class TestOrphans:
    def test_an_orphan_is_erased_after_the_grace_and_the_hold(self, instance: Instance) -> None:
        instance.put(1)

        assert instance.collect().orphans_condemned == 1
        assert instance.collect().objects_set_aside == 0, "the grace is not over"
        instance.let_the_grace_pass()
        assert instance.collect().objects_set_aside == 1
        assert instance.collect().objects_erased == 0, "somebody may name it yet"
        instance.let_the_hold_pass()
        assert instance.collect().objects_erased == 1

        assert not instance.is_whole(1)
        assert (instance.stored(), instance.aside(), instance.condemned()) == (set(), set(), set())

    def test_an_orphan_that_is_referenced_within_the_grace_stays(self, instance: Instance) -> None:
        instance.put(1)
        instance.collect()
        instance.name(1)
        instance.let_the_grace_pass()

        collected = instance.collect()

        assert (collected.objects_set_aside, instance.condemned()) == (0, set())
        assert instance.is_whole(1)

    def test_an_orphan_that_is_stored_again_before_it_is_set_aside_is_put_back(
        self, instance: Instance
    ) -> None:
        instance.put(1)
        instance.collect()
        instance.let_the_grace_pass()
        instance.put(1)  # the bytes exist already; the row that names them follows
        instance.collect()
        assert instance.aside() == {digest_of(1)}

        instance.name(1)
        instance.let_the_hold_pass()
        collected = instance.collect()

        assert (collected.objects_put_back, collected.objects_erased) == (1, 0)
        assert (instance.stored(), instance.aside()) == ({digest_of(1)}, set())

    def test_orphans_beyond_the_size_of_one_query_are_all_erased(self, instance: Instance) -> None:
        for number in range(103):
            instance.put(number)
        instance.name(7)
        instance.collect()
        instance.let_the_grace_pass()
        instance.collect()
        instance.let_the_hold_pass()

        assert instance.collect().objects_erased == 102

        assert instance.stored() == {digest_of(7)}

    def test_a_dry_run_tells_the_same_and_does_nothing(self, instance: Instance) -> None:
        for number in range(3):
            instance.put(number)
        instance.name(0)

        planned = instance.collector().dry_run()

        assert instance.condemned() == set()
        assert planned == instance.collect()

    def test_a_store_that_refuses_loses_nothing_and_is_asked_again_later(
        self, instance: Instance
    ) -> None:
        instance.put(1)
        instance.collect()
        instance.let_the_grace_pass()
        blocked = instance.settings.home / "store" / "aside"
        blocked.write_bytes(b"in the way")

        with pytest.raises(Unavailable):
            instance.collect()
        assert instance.condemned() == {digest_of(1)}

        blocked.unlink()
        instance.let_the_grace_pass()
        assert instance.collect().objects_set_aside == 1


class TestCondemn:
    def test_the_later_of_two_due_times_holds(self, instance: Instance) -> None:
        for grace in (timedelta(hours=24), timedelta()):
            with instance.database.write() as unit:
                condemn(unit.session, [digest_of(1)], grace=grace)

        with instance.database.read() as unit:
            now = unit.session.scalars(select(database_now())).one()
            due_at = unit.session.scalars(select(CondemnedObject.due_at)).one()
        assert due_at - now > timedelta(hours=23)

    def test_a_dropped_checkpoint_has_no_grace(self, instance: Instance) -> None:
        digest = instance.put(1)
        with instance.database.write() as unit:
            condemn(unit.session, [digest], grace=timedelta())

        assert instance.collect().objects_set_aside == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "name", "forget", "collect", "collect", "grace", "hold"]),
        st.integers(0, 1),
    ),
    min_size=8,
    max_size=30,
)
FOUND_STORED_AS_IT_LEFT = [
    (step, 0) for step in ("store", "collect", "grace", "store", "collect", "name", "hold")
]


class TestAnyOrder:
    """Storing, naming, forgetting and collecting in any order."""

    @given(steps=STEPS)
    @example(steps=FOUND_STORED_AS_IT_LEFT)
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @pytest.mark.mostly_sqlite
    def test_referenced_bytes_are_whole_and_all_others_go_in_any_order(
        self, instance: Instance, steps: list[tuple[str, int]]
    ) -> None:
        clear(instance)
        found_stored: set[int] = set()

        for step, number in steps:
            take(instance, step, number, found_stored)
            named_now = [each for each in range(2) if digest_of(each) in instance.named()]
            assert [each for each in named_now if not instance.is_whole(each)] == []

        for _ in range(3):
            instance.collect()
            instance.let_the_grace_pass()
            instance.let_the_hold_pass()
        instance.collect()
        assert instance.stored() == instance.named()
        assert (instance.aside(), instance.condemned()) == (set(), set())


def take(instance: Instance, step: str, number: int, found_stored: set[int]) -> None:
    """Take one step; bytes may be named only if they were found stored within the hold time."""
    match step:
        case "store":
            instance.put(number)
            found_stored.add(number)
        case "name" if number in found_stored and digest_of(number) not in instance.named():
            instance.name(number)
        case "forget":
            instance.forget(number)
            found_stored.discard(number)
        case "collect":
            instance.collect()
        case "grace":
            instance.let_the_grace_pass()
        case "hold":
            instance.let_the_hold_pass()
            found_stored.clear()


def clear(instance: Instance) -> None:
    with instance.database.write() as unit:
        for table in (Model, CondemnedObject):
            unit.session.execute(delete(table))
    for folder in (instance.settings.home / "store").iterdir():
        shutil.rmtree(folder)
