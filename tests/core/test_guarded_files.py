"""Files of a hostile program: what is opened, what is refused, and that nothing waits."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import guarded_files
from app.core.guarded_files import (
    FileRefused,
    GuardedFolder,
    entries_below,
    open_regular,
    read_regular,
    relative_parts,
    remove_tree,
    tail_of_regular,
    temporary_folder,
)

MOST = 1000


@pytest.fixture(params=["openat2", "walk"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder beside a secret, with and without `openat2` in the kernel."""
    if request.param == "walk":

        def absent(*_: object) -> int:
            raise NotImplementedError

        monkeypatch.setattr(guarded_files, "_openat2", absent)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("outside")
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    (run / "weights" / "best.pt").write_text("weights")
    return run


def read(folder: Path, path: str) -> str:
    with GuardedFolder(folder).opened(path, most_bytes=MOST) as file:
        return file.read().decode()


class TestOpened:
    def test_a_regular_file_below_the_folder_is_opened(self, folder: Path) -> None:
        assert read(folder, "weights/best.pt") == "weights"

    def test_a_file_with_two_names_below_the_folder_is_opened(self, folder: Path) -> None:
        (folder / "best.pt").hardlink_to(folder / "weights" / "best.pt")

        assert read(folder, "best.pt") == "weights"

    @pytest.mark.parametrize(
        "path",
        [
            "../secret", "weights/../../secret", "/etc/hostname", "", ".", "..", "weights//best.pt",
            "weights/", "a\0b", "a\nb", "a\u202eb", "\udc80", "x" * 300, "a/" * 20 + "b", "é" * 200,
            "weights", "missing", "weights/best.pt/more",
        ],
    )  # fmt: skip
    def test_no_other_path_is_opened(self, folder: Path, path: str) -> None:
        with pytest.raises(FileRefused):
            read(folder, path)

    def test_a_link_is_not_followed(self, folder: Path) -> None:
        (folder / "link").symlink_to("../secret")
        (folder / "inside").symlink_to("weights/best.pt")
        (folder / "folder").symlink_to("../outside")
        (folder / "same").symlink_to("weights")

        for path in ("link", "inside", "folder/file", "same/best.pt"):
            with pytest.raises(FileRefused):
                read(folder, path)

    def test_another_name_of_a_foreign_file_is_refused(self, folder: Path) -> None:
        (folder / "best.pt").hardlink_to(folder.parent / "secret")

        with pytest.raises(FileRefused, match="another name"):
            read(folder, "best.pt")

    def test_a_pipe_and_a_socket_are_refused_without_waiting(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        os.mknod(folder / "socket", 0o140600)

        for path in ("pipe", "socket"):
            with pytest.raises(FileRefused, match="regular"):
                read(folder, path)

    def test_a_huge_sparse_file_is_refused_by_its_size(self, folder: Path) -> None:
        with (folder / "sparse").open("wb") as file:
            file.truncate(2**43)

        with pytest.raises(FileRefused, match="1000 are allowed"):
            read(folder, "sparse")

    def test_a_folder_that_was_replaced_is_refused(self, folder: Path) -> None:
        guarded = GuardedFolder(folder)
        folder.rename(folder.with_name("away"))
        folder.symlink_to("outside")

        with pytest.raises(FileRefused), guarded.opened("file", most_bytes=MOST):
            pass

        folder.unlink()
        (folder.parent / "outside").rename(folder)
        with pytest.raises(FileRefused, match="replaced"), guarded.opened("file", most_bytes=MOST):
            pass


class TestUnlink:
    def test_a_name_is_removed_and_not_what_it_links_to(self, folder: Path) -> None:
        (folder / "link").symlink_to("../secret")

        GuardedFolder(folder).unlink("link")

        assert not (folder / "link").is_symlink()
        assert (folder.parent / "secret").exists()

    @pytest.mark.parametrize("path", ["../secret", "away/file", "weights"])
    def test_nothing_outside_is_removed(self, folder: Path, path: str) -> None:
        (folder / "away").symlink_to("../outside")

        with pytest.raises(FileRefused):
            GuardedFolder(folder).unlink(path)

        assert (folder.parent / "secret").exists()
        assert (folder.parent / "outside" / "file").exists()

    def test_a_missing_name_is_no_error(self, folder: Path) -> None:
        GuardedFolder(folder).unlink("weights/gone")


class TestWrite:
    def test_a_link_is_replaced_and_not_followed(self, folder: Path) -> None:
        (folder / "note").symlink_to("../secret")

        GuardedFolder(folder).write("note", "hello")

        assert (folder / "note").read_text() == "hello"
        assert (folder.parent / "secret").read_text() == "secret"


class TestRelativeParts:
    @given(st.text())
    def test_what_is_accepted_stays_below_its_folder(self, path: str) -> None:
        try:
            parts = relative_parts(path)
        except ValueError:
            return

        assert os.path.normpath(os.path.join("/run", path)) == "/run/" + "/".join(parts)  # noqa: PTH118 -- the oracle


class TestOpenRegular:
    def test_a_report_that_is_a_link_or_a_pipe_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "link").symlink_to("secret")
        os.mkfifo(tmp_path / "pipe")

        for name in ("link", "pipe", ""):
            with pytest.raises(FileRefused):
                open_regular(tmp_path / name)

    def test_a_report_that_is_too_long_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "report").write_text("x" * 11)

        with pytest.raises(FileRefused):
            read_regular(tmp_path / "report", most_bytes=10)

    def test_only_the_end_of_a_log_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("x" * 100 + "end")

        assert tail_of_regular(tmp_path / "log", most_bytes=3) == "end"
        assert tail_of_regular(tmp_path / "none", most_bytes=3) == ""


def make_deep(root: Path) -> None:
    """Make folders in folders, each with a link, as a hostile program can."""
    root.mkdir()
    at = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        os.symlink("../kept", "link", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


class TestDeepTrees:
    def test_everything_that_a_path_can_name_is_found(self, tmp_path: Path) -> None:
        make_deep(tmp_path / "root")

        assert sum(entry.is_symlink() for entry in entries_below(tmp_path / "root")) > 1500
        remove_tree(tmp_path / "root")

    def test_a_temporary_folder_is_removed_whatever_is_in_it(self, tmp_path: Path) -> None:
        with temporary_folder(tmp_path, "verify-") as folder:
            make_deep(folder / "root")

        assert list(tmp_path.iterdir()) == []

    def test_a_tree_deeper_than_the_stack_is_removed(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (tmp_path / "kept").write_text("kept")
        make_deep(root)

        remove_tree(root)

        assert not root.exists()
        assert (tmp_path / "kept").exists()
