"""A home starts only with its own store: S5."""

import os
import shutil
from pathlib import Path

import pytest

from app.configuration import BadConfiguration
from app.core.storage import ArtifactStore
from app.core.stored_objects import stored_digests
from app.instance_marker import MARK, check_instance
from app.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", store_url=(tmp_path / "store").as_uri())


def mark_of(folder: Path) -> str:
    return (folder / MARK).read_text().strip()


class TestCheckInstance:
    def test_the_first_start_marks_home_and_store_and_the_next_finds_both(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        check_instance(settings)
        check_instance(settings)

        assert mark_of(tmp_path / "home") == mark_of(tmp_path / "store")
        assert list(stored_digests(ArtifactStore.from_settings(settings))) in ([], [[]])

    def test_an_instance_of_an_earlier_release_gets_its_mark(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "instance-id").write_text("ins_1\n")  # of its broker
        (tmp_path / "store" / "sha256").mkdir(parents=True)

        check_instance(settings)

        assert mark_of(tmp_path / "home") == mark_of(tmp_path / "store")

    def test_another_machine_takes_over_the_mark_of_the_store(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        check_instance(settings)
        other = settings.model_copy(update={"home": tmp_path / "other"})

        check_instance(other)

        assert mark_of(tmp_path / "other") == mark_of(tmp_path / "home")

    def test_s5_a_store_that_is_missing_ends_the_start(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        check_instance(settings)
        shutil.rmtree(tmp_path / "store")

        with pytest.raises(BadConfiguration, match="mounted"):
            check_instance(settings)

    def test_s5_a_store_of_another_instance_ends_the_start(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        check_instance(settings)
        foreign = settings.model_copy(
            update={"home": tmp_path / "b", "store_url": (tmp_path / "b-store").as_uri()}
        )
        check_instance(foreign)
        swapped = settings.model_copy(update={"store_url": (tmp_path / "b-store").as_uri()})

        with pytest.raises(BadConfiguration, match="another instance"):
            check_instance(swapped)

    def test_s5_a_home_of_another_user_ends_the_start(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "home").mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

        with pytest.raises(BadConfiguration, match="another user"):
            check_instance(settings)
