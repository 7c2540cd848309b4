from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.leased_rows import RowHold
from app.datasets.dataset_pages import (
    DatasetFilter,
    DatasetOrder,
    SortKey,
    counts_by_state,
    dataset_page,
    jobs_of_datasets,
    jobs_of_versions,
)
from app.datasets.errors import DatasetInUse, DatasetNotFound, DatasetNotReady, UnknownDataset
from app.datasets.repository import (
    delete_dataset,
    lock_visible_dataset,
    resolve_version,
    visible_dataset,
)
from app.datasets.tables import Dataset, DatasetVersion, VersionState
from app.datasets.verification_queue import VERIFICATIONS, finish_verification, record_crash
from tests.datasets.stored_uploads import an_upload, version_row
from tests.worlds.rows import Owner, a_job, an_owner, some_rows

pytestmark = pytest.mark.integration

LEASE = timedelta(seconds=60)
NEWEST = DatasetOrder()
NOBODYS = "ds_01JD0000000000000000000000"


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


def finish(database: Database, version: DatasetVersion, state: VersionState) -> None:
    pack = (
        {"manifest_digest": "cd" * 32, "manifest_bytes": 1} if state is VersionState.READY else {}
    )
    with database.write() as unit:
        values = {"state": state, "task": "detect", "report": {}, **pack}
        assert finish_verification(unit.session, RowHold(version.id, 0), values)


def resolved(database: Database, owner: Owner, reference: str) -> str:
    with database.read() as unit:
        return resolve_version(unit.session, {owner.project_id}, reference)[1].id


def names_in(
    database: Database,
    owner: Owner,
    *,
    order: DatasetOrder = NEWEST,
    **filters: Any,  # noqa: ANN401 -- fields of the filter
) -> list[str]:
    with database.read() as unit:
        page = dataset_page(
            unit.session,
            {owner.project_id},
            DatasetFilter(**filters),
            order=order,
            after=None,
            limit=10,
        )
        return [each.dataset.name for each in page]


class TestResolveVersion:
    def test_a_dataset_stands_for_its_newest_ready_version(
        self, database: Database, owner: Owner
    ) -> None:
        old, ready, invalid, validating = (
            an_upload(database, owner, sha256=f"{n:064}") for n in range(4)
        )
        finish(database, old, VersionState.READY)
        finish(database, ready, VersionState.READY)
        finish(database, invalid, VersionState.INVALID)

        assert resolved(database, owner, ready.dataset_id) == ready.id
        assert resolved(database, owner, old.id) == old.id
        with pytest.raises(DatasetNotReady):
            resolved(database, owner, invalid.id)
        with pytest.raises(DatasetNotReady):
            resolved(database, owner, validating.id)

    @pytest.mark.parametrize("state", [VersionState.VALIDATING, VersionState.INVALID])
    def test_a_dataset_without_a_ready_version_is_not_ready(
        self, database: Database, owner: Owner, state: VersionState
    ) -> None:
        version = an_upload(database, owner)
        if state is VersionState.INVALID:
            finish(database, version, state)

        with pytest.raises(DatasetNotReady) as refusal:
            resolved(database, owner, version.dataset_id)

        assert refusal.value.extra["state"] == state

    def test_datasets_of_other_projects_cannot_be_resolved(
        self, database: Database, owner: Owner
    ) -> None:
        version = an_upload(database, an_owner(database, "theirs"))
        finish(database, version, VersionState.READY)

        for reference in (version.id, version.dataset_id, NOBODYS):
            with pytest.raises(UnknownDataset):
                resolved(database, owner, reference)


class TestReading:
    def test_a_dataset_is_shown_with_its_newest_version(
        self, database: Database, owner: Owner
    ) -> None:
        first, second = (an_upload(database, owner, sha256=f"{n:064}") for n in range(2))

        with database.read() as unit:
            shown = visible_dataset(unit.session, {owner.project_id}, first.dataset_id)
            named = visible_dataset(unit.session, {owner.project_id}, first.id)

        assert (shown.version.id, named.version.id) == (second.id, first.id)
        assert [first.number, second.number] == [1, 2]

    def test_datasets_of_other_projects_are_not_listed(
        self, database: Database, owner: Owner
    ) -> None:
        version = an_upload(database, an_owner(database, "theirs"))

        with database.read() as unit:
            for reference in (version.id, version.dataset_id):
                with pytest.raises(DatasetNotFound):
                    visible_dataset(unit.session, {owner.project_id}, reference)
        assert names_in(database, owner) == []

    def test_a_list_is_narrowed_by_name_and_by_the_newest_versions_state(
        self, database: Database, owner: Owner
    ) -> None:
        finish(database, an_upload(database, owner, name="old"), VersionState.READY)
        finish(database, an_upload(database, owner, name="both"), VersionState.READY)
        an_upload(database, owner, name="both", sha256="0" * 64)

        assert names_in(database, owner) == ["both", "old"]
        assert names_in(database, owner, name="old") == ["old"]
        assert names_in(database, owner, state=VersionState.READY) == ["old"]
        assert names_in(database, owner, state=VersionState.VALIDATING) == ["both"]

    @pytest.mark.parametrize("key", ["created", "name"])
    @pytest.mark.parametrize("descending", [True, False], ids=["down", "up"])
    def test_pages_hold_every_dataset_once(
        self, database: Database, owner: Owner, key: SortKey, *, descending: bool
    ) -> None:
        names = ["B", "a", "c", "A 2", "b", "ä", "A"]
        made = {name: an_upload(database, owner, name=name).dataset_id for name in names}
        order = DatasetOrder(key, descending)

        seen: list[str] = []
        with database.read() as unit:
            after = None
            while page := dataset_page(
                unit.session, {owner.project_id}, DatasetFilter(), order=order, after=after, limit=3
            ):
                seen += [each.dataset.name for each in page]
                after = order.position(page[-1].dataset)

        assert sorted(seen) == sorted(names)
        if key == "created":
            assert seen == sorted(names, key=made.__getitem__, reverse=descending)

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (("blood",), ["BloodCells v2", "blood cells"]),
            (("cel", "blo"), ["BloodCells v2", "blood cells"]),
            (("v2",), ["BloodCells v2"]),
            (("lood",), []),
            (("straße",), []),
            (("strasse",), ["Straße"]),
        ],
    )
    def test_words_of_a_name_are_found_by_their_beginnings(
        self, database: Database, owner: Owner, words: tuple[str, ...], found: list[str]
    ) -> None:
        for name in ("blood cells", "BloodCells v2", "Straße"):
            an_upload(database, owner, name=name)
        an_upload(database, an_owner(database, "theirs"), name="blood")

        assert names_in(database, owner, words=words) == found

    def test_a_list_is_narrowed_by_the_task_that_is_found_or_declared(
        self, database: Database, owner: Owner
    ) -> None:
        finish(database, an_upload(database, owner, name="found"), VersionState.READY)
        an_upload(database, owner, name="open")

        assert names_in(database, owner, task="detect") == ["found"]

    def test_datasets_are_counted_by_the_state_of_their_newest_version(
        self, database: Database, owner: Owner
    ) -> None:
        finish(database, an_upload(database, owner, name="old"), VersionState.READY)
        finish(database, an_upload(database, owner, name="both"), VersionState.READY)
        an_upload(database, owner, name="both", sha256="0" * 64)
        an_upload(database, an_owner(database, "theirs"), name="blood")

        with database.read() as unit:
            filters = DatasetFilter(state=VersionState.READY)
            counts = counts_by_state(unit.session, {owner.project_id}, filters)

        assert counts.numbers == {
            VersionState.VALIDATING: 1,
            VersionState.READY: 1,
            VersionState.INVALID: 0,
        }
        assert counts.capped == ()

    def test_counting_names_the_states_in_which_it_stops(
        self, database: Database, owner: Owner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.datasets.dataset_pages.MAX_COUNT", 2)
        for number in range(3):
            an_upload(database, owner, name=f"set {number}")

        with database.read() as unit:
            counts = counts_by_state(unit.session, {owner.project_id}, DatasetFilter())

        assert counts.numbers[VersionState.VALIDATING] == 2
        assert counts.capped == (VersionState.VALIDATING,)

    def test_jobs_are_counted_by_dataset_and_by_version(self, database: Database) -> None:
        rows = some_rows(database)
        unused = an_upload(database, rows, name="unused")
        for _ in range(3):
            a_job(database, rows)

        with database.read() as unit:
            ids = [rows.dataset_id, unused.dataset_id]
            of_datasets = jobs_of_datasets(unit.session, ids)
            of_versions = jobs_of_versions(unit.session, [rows.version_id, unused.id])

        assert of_datasets == {rows.dataset_id: 3, unused.dataset_id: 0}
        assert of_versions == {rows.version_id: 3, unused.id: 0}


class TestInsert:
    def test_uploads_at_once_make_one_dataset_and_numbers_without_gaps(
        self, database: Database, owner: Owner
    ) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(
                threads.map(lambda n: an_upload(database, owner, sha256=f"{n:064}"), range(16))
            )

        assert len({version.dataset_id for version in made}) == 1
        assert sorted(version.number for version in made) == list(range(1, 17))


class TestDelete:
    def test_an_unused_dataset_goes_with_its_versions(
        self, database: Database, owner: Owner
    ) -> None:
        version = an_upload(database, owner)

        with database.write() as unit:
            delete_dataset(unit.session, version.dataset_id)

        with database.read() as unit:
            for table in (Dataset, DatasetVersion):
                assert unit.session.scalar(select(func.count()).select_from(table)) == 0

    def test_a_dataset_that_a_job_was_made_with_stays(self, database: Database) -> None:
        rows = some_rows(database)
        a_job(database, rows)

        with pytest.raises(DatasetInUse), database.write() as unit:
            delete_dataset(unit.session, rows.dataset_id)

        assert version_row(database, rows.version_id).state is VersionState.READY

    def test_a_dataset_of_another_project_is_not_found_for_deletion(
        self, database: Database, owner: Owner
    ) -> None:
        version = an_upload(database, an_owner(database, "theirs"))

        with pytest.raises(DatasetNotFound), database.write() as unit:
            lock_visible_dataset(unit.session, {owner.project_id}, version.dataset_id)


class TestVerificationLease:
    def test_many_verifiers_take_each_version_once(self, database: Database, owner: Owner) -> None:
        made = {an_upload(database, owner, sha256=f"{n:064}").id for n in range(12)}

        def claim_all(_: int) -> list[str]:
            taken: list[str] = []
            while True:
                with database.write() as unit:
                    version = VERIFICATIONS.claim(unit.session, lease=LEASE)
                if version is None:
                    return taken
                taken.append(version.id)

        with ThreadPoolExecutor(6) as threads:
            taken = [each for ids in threads.map(claim_all, range(6)) for each in ids]

        assert sorted(taken) == sorted(made)

    @pytest.mark.parametrize(
        "write",
        [
            lambda session, hold: VERIFICATIONS.renew(session, hold, lease=LEASE),
            VERIFICATIONS.release,
            lambda session, hold: record_crash(
                session, hold, verdict={"state": VersionState.INVALID, "report": {}}
            ),
            lambda session, hold: finish_verification(
                session, hold, {"state": VersionState.INVALID, "report": {}}
            ),
        ],
        ids=["renew", "release", "crash", "finish"],
    )
    def test_an_earlier_attempt_writes_nothing(
        self, database: Database, owner: Owner, write: Callable[[Session, RowHold], bool]
    ) -> None:
        version = an_upload(database, owner)
        for _ in range(2):
            with database.write() as unit:
                claimed = VERIFICATIONS.claim(unit.session, lease=timedelta(seconds=-1))
        assert claimed is not None
        before = version_row(database, version.id)

        with database.write() as unit:
            written = write(unit.session, RowHold(version.id, 1))

        after = version_row(database, version.id)
        assert not written
        assert (after.state, after.attempt, after.crashes, after.lease_expires_at) == (
            before.state,
            2,
            1,
            before.lease_expires_at,
        )
