"""What is never taken for a home, so that its modes stay as they are."""

import stat
from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from app.settings import home


class TestSecureHome:
    def test_a_file_that_is_named_as_home_keeps_its_mode(self, tmp_path: Path) -> None:
        file = tmp_path / "passwd"
        file.touch()
        file.chmod(0o644)

        with pytest.raises(SettingsError, match="no folder"):
            home.secure_home(file)

        assert stat.S_IMODE(file.stat().st_mode) == 0o644

    def test_the_root_of_the_machine_is_no_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("it changed a mode"))

        with pytest.raises(SettingsError, match="no folder"):
            home.secure_home(Path("/"))


class TestWarning:
    def test_what_was_open_is_told_in_one_line_with_its_mode(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        tmp_path.chmod(0o755)
        (tmp_path / "api-key").touch()
        (tmp_path / "api-key").chmod(0o644)
        (tmp_path / "run").mkdir(mode=0o700)

        home.secure_home(tmp_path)

        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            f"closed to other users of this machine: '{tmp_path}' (mode 0755), "
            f"'{tmp_path}/api-key' (mode 0644)"
        )

    def test_a_home_that_is_closed_already_is_not_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        tmp_path.chmod(0o755)
        home.secure_home(tmp_path)
        caplog.clear()

        home.secure_home(tmp_path)

        assert caplog.records == []


class TestForeignFolders:
    def test_a_folder_of_other_things_is_refused_and_keeps_its_modes(self, tmp_path: Path) -> None:
        folder = tmp_path / "downloads"
        folder.mkdir(mode=0o755)
        (folder / "tool").touch(mode=0o755)

        with pytest.raises(SettingsError, match="contains other files and no instance"):
            home.secure_home(folder)

        assert folder.stat().st_mode & 0o777 == 0o755
        assert (folder / "tool").stat().st_mode & 0o777 == 0o755

    def test_what_is_not_of_an_instance_keeps_its_modes_beside_one(self, tmp_path: Path) -> None:
        (tmp_path / "api-key").touch(mode=0o644)
        (tmp_path / "notes.sh").touch(mode=0o755)

        home.secure_home(tmp_path)

        assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "notes.sh").stat().st_mode & 0o777 == 0o755
        assert tmp_path.stat().st_mode & 0o777 == 0o700
