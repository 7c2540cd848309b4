"""The scrubber finds damage in the whole store, once in a period, and every server learns of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.artifacts.damage import HeldPass, damaged_digests, hold_pass, note_progress
from app.artifacts.tables import ScrubPass
from app.core.database import Database, database_now
from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.ops.scrubber import Scrubber, exchange_damage, verify_all
from app.settings import Settings
from app.settings.integrity import ScrubSettings
from tests.waiting import eventually

WEEK, LENGTH = timedelta(days=7), timedelta(minutes=1)


def put(store: ArtifactStore, folder: Path, content: str) -> str:
    (folder / "source").write_text(content)
    return store.put_file(folder / "source").sha256


def damage(store: ArtifactStore, digest: str) -> Path:
    assert store.local_root is not None
    path = store.local_root / "sha256" / digest[:2] / digest
    path.write_bytes(path.read_bytes()[::-1])
    return path


def marked(database: Database) -> list[str]:
    with database.read() as unit:
        return damaged_digests(unit.session)


class TestVerifyAll:
    def test_damaged_objects_are_marked_and_others_are_not(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digests = sorted(put(store, tmp_path, f"object {number}") for number in range(5))
        put(store, tmp_path, "")
        damage(store, digests[2])

        found = verify_all(database, store)

        assert (found.objects, found.damaged) == (6, [digests[2]])
        assert marked(database) == [digests[2]]

    def test_the_mark_of_a_restored_object_goes(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = put(store, tmp_path, "object")
        damage(store, digest)
        verify_all(database, store)
        damage(store, digest)

        assert verify_all(database, store).damaged == []
        assert marked(database) == []

    def test_the_mark_of_a_removed_object_goes(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = put(store, tmp_path, "object")
        damage(store, digest).read_bytes()
        verify_all(database, store)
        store.delete(digest)

        verify_all(database, store)

        assert marked(database) == []


class TestServers:
    def test_damage_that_one_server_found_is_refused_by_every_server(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = put(store, tmp_path, "object")
        other = ArtifactStore.from_settings(Settings(home=tmp_path / "home"))
        damage(store, digest)
        with pytest.raises(StoredBytesCorrupt):
            store.open_range(digest, 0, 1)

        exchange_damage(database, store)
        exchange_damage(database, other)

        assert marked(database) == [digest]
        with pytest.raises(StoredBytesCorrupt):
            other.open_range(digest, 0, 1)

    def test_one_server_at_a_time_holds_a_pass(self, database: Database) -> None:
        def hold(holder: str) -> HeldPass | None:
            with database.write() as unit:
                return hold_pass(unit.session, holder, period=WEEK, length=LENGTH)

        assert hold("a") == HeldPass("", 0)
        assert hold("b") is None
        with database.write() as unit:
            note_progress(unit.session, "a", HeldPass("ab", 3), length=-LENGTH, is_end=False)

        assert hold("b") == HeldPass("ab", 3)
        assert hold("a") is None

    def test_a_pass_begins_again_after_the_period_only(self, database: Database) -> None:
        def hold() -> HeldPass | None:
            with database.write() as unit:
                return hold_pass(unit.session, "a", period=WEEK, length=LENGTH)

        hold()
        with database.write() as unit:
            note_progress(unit.session, "a", HeldPass("ff", 3), length=LENGTH, is_end=True)
        assert hold() is None

        with database.write() as unit:
            unit.session.execute(
                update(ScrubPass).values(
                    started_at=database_now(-WEEK), finished_at=database_now(-WEEK / 2)
                )
            )

        assert hold() == HeldPass("", 0)


class TestScrubber:
    def test_nothing_is_hashed_by_a_second_server_nor_where_it_is_off(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        put(store, tmp_path, "object")
        first = Scrubber(database, store, ScrubSettings(), tick_seconds=0)
        off = Scrubber(database, store, ScrubSettings(period_days=0))

        assert off.scrub_some() == 0
        assert first.scrub_some() == 0  # its time is over at once, and the pass is held
        assert Scrubber(database, store, ScrubSettings()).scrub_some() == 0

    def test_a_scrubber_marks_damage_while_it_runs(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        digest = put(store, tmp_path, "object")
        damage(store, digest)

        with Scrubber(database, store, ScrubSettings(), tick_seconds=0.05):
            eventually(lambda: marked(database) == [digest], within=20)
