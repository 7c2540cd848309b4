"""Files appear complete, are created once, and are locked by one process."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.core.files import (
    is_disk_full,
    link_whole,
    locked,
    made_once,
    private_folder,
    whole_file,
    whole_folder,
    write_whole,
)

PROCESSES = 5

WRITES_HALF = """
import sys, time
from pathlib import Path
from app.core.files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("half is written", flush=True)
    time.sleep(600)
"""

MAKES_ONCE = """
import os, sys
from pathlib import Path
from app.core.files import made_once

def make():
    print("found no file", flush=True)
    sys.stdin.readline()
    return str(os.getpid())

print(made_once(Path(sys.argv[1]), make), flush=True)
"""

LOCKS = """
import sys, time
from pathlib import Path
from app.core.files import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


class Process(subprocess.Popen[str]):
    """A program that prints a line when it reaches its place, and may wait for a line there."""

    def __init__(self, program: str, path: Path) -> None:
        argv = [sys.executable, "-c", program, str(path)]
        super().__init__(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read_line(self) -> str:
        assert self.stdout is not None
        return self.stdout.readline().strip()

    def kill_there(self) -> None:
        assert self.read_line()
        self.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


class TestWholeFile:
    def test_a_whole_file_replaces_the_file_when_the_block_ends(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")

        with whole_file(path) as file:
            file.write(b"new")
            file.flush()
            seen_meanwhile = path.read_text()

        assert (seen_meanwhile, path.read_text()) == ("old", "new")
        assert names_in(tmp_path) == ["file"]

    @pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
    def test_a_whole_file_keeps_the_old_file_and_removes_the_new_one_after_an_error(
        self, tmp_path: Path, error: type[BaseException]
    ) -> None:
        path = tmp_path / "file"
        path.write_text("old")

        def write_half() -> None:
            with whole_file(path) as file:
                file.write(b"half")
                raise error

        with pytest.raises(error):
            write_half()

        assert path.read_text() == "old"
        assert names_in(tmp_path) == ["file"]

    def test_a_failed_whole_file_leaves_nothing_where_no_file_was(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file") as file:
            file.write(b"%d" % (1 // 0))

        assert names_in(tmp_path) == []

    def test_a_killed_writer_keeps_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        with Process(WRITES_HALF, path) as writer:
            writer.kill_there()

        write_whole(tmp_path / "other", "written beside what is left")

        assert path.read_text() == "old"
        assert [name for name in names_in(tmp_path) if name[0] != "."] == ["file", "other"]

    def test_a_whole_file_needs_its_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), whole_file(tmp_path / "missing" / "file"):
            pytest.fail("there is no folder to write into")


class TestWriteWhole:
    @pytest.mark.parametrize("content", ["naïve\n", "naïve\n".encode()], ids=["text", "bytes"])
    def test_text_is_written_as_utf_8_and_bytes_unchanged(
        self, tmp_path: Path, content: bytes | str
    ) -> None:
        write_whole(tmp_path / "file", content)

        assert (tmp_path / "file").read_bytes() == b"na\xc3\xafve\n"

    @pytest.mark.usefixtures("usual_umask")
    def test_a_whole_file_gets_the_requested_mode(self, tmp_path: Path) -> None:
        write_whole(tmp_path / "usual", "")
        write_whole(tmp_path / "private", "", mode=0o600)

        assert (mode(tmp_path / "usual"), mode(tmp_path / "private")) == (0o644, 0o600)

    def test_a_private_file_replaces_one_that_others_could_read(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        path.chmod(0o644)

        write_whole(path, "new", mode=0o600)

        assert mode(path) == 0o600

    @pytest.mark.parametrize(("durable", "synced"), [(True, ["whole"]), (False, [])])
    def test_a_whole_file_is_synced_before_it_has_its_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool, synced: list[str]
    ) -> None:
        path = tmp_path / "file"
        seen: list[str] = []

        def fsync(descriptor: int) -> None:
            assert not path.exists()
            seen.append(Path(f"/proc/self/fd/{descriptor}").read_text())

        monkeypatch.setattr(os, "fsync", fsync)

        write_whole(path, "whole", durable=durable)

        assert (path.read_text(), seen) == ("whole", synced)


class TestLinkWhole:
    def test_a_whole_link_replaces_the_file_by_the_same_bytes(self, tmp_path: Path) -> None:
        source, path = tmp_path / "source", tmp_path / "file"
        source.write_text("new")
        path.write_text("old")

        link_whole(path, source)

        assert path.samefile(source)
        assert names_in(tmp_path) == ["file", "source"]

    def test_a_whole_link_leaves_a_file_that_is_already_linked(self, tmp_path: Path) -> None:
        source, path = tmp_path / "source", tmp_path / "file"
        source.write_text("new")
        link_whole(path, source)

        link_whole(path, source)

        assert path.samefile(source)
        assert names_in(tmp_path) == ["file", "source"]

    def test_a_whole_link_without_a_source_keeps_the_old_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("old")

        with pytest.raises(FileNotFoundError):
            link_whole(tmp_path / "file", tmp_path / "missing")

        assert (tmp_path / "file").read_text() == "old"
        assert names_in(tmp_path) == ["file"]


class TestWholeFolder:
    def test_a_whole_folder_appears_when_the_block_ends(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "folder"

        with whole_folder(path) as partial:
            (partial / "file").write_text("content")
            was_there_before = path.exists()

        assert not was_there_before
        assert (path / "file").read_text() == "content"
        assert names_in(path.parent) == ["folder"]

    def test_a_whole_folder_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        def make_half() -> None:
            with whole_folder(tmp_path / "folder") as partial:
                (partial / "file").write_text("content")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_half()

        assert names_in(tmp_path) == []

    def test_a_whole_folder_replaces_no_folder_with_content(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("old")

        with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "folder"):
            pass

        assert (tmp_path / "folder" / "file").read_text() == "old"
        assert names_in(tmp_path) == ["folder"]


class TestPrivateFolder:
    @pytest.mark.usefixtures("usual_umask")
    def test_a_private_folder_is_for_its_owner_and_its_parents_are_as_usual(
        self, tmp_path: Path
    ) -> None:
        private_folder(tmp_path / "parent" / "folder")

        assert mode(tmp_path / "parent" / "folder") == 0o700
        assert mode(tmp_path / "parent") == 0o755

    def test_a_private_folder_that_exists_is_unchanged(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder").chmod(0o750)

        private_folder(tmp_path / "folder")

        assert mode(tmp_path / "folder") == 0o750


class TestMadeOnce:
    def test_a_line_is_made_by_the_first_call_and_read_by_the_next(self, tmp_path: Path) -> None:
        path = tmp_path / "home" / "name"

        lines = [made_once(path, lambda: "first"), made_once(path, lambda: "second")]

        assert lines == ["first", "first"]
        assert path.read_text() == "first\n"
        assert (mode(path), mode(path.parent)) == (0o600, 0o700)
        assert names_in(path.parent) == ["name"]

    def test_all_of_several_processes_get_the_line_of_one(self, tmp_path: Path) -> None:
        path = tmp_path / "name"
        with ExitStack() as stack:
            makers = [stack.enter_context(Process(MAKES_ONCE, path)) for _ in range(PROCESSES)]
            found = [maker.read_line() for maker in makers]
            for maker in makers:
                assert maker.stdin is not None
                maker.stdin.write("\n")
                maker.stdin.flush()
            lines = {maker.read_line() for maker in makers}

        assert found == ["found no file"] * PROCESSES
        assert lines == {path.read_text().strip()}
        assert names_in(tmp_path) == ["name"]

    def test_a_line_that_cannot_be_made_leaves_nothing(self, tmp_path: Path) -> None:
        def make() -> str:
            raise LookupError

        with pytest.raises(LookupError):
            made_once(tmp_path / "name", make)

        assert names_in(tmp_path) == []


class TestLocked:
    def test_a_lock_refuses_a_second_holder_until_the_first_closes_it(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"

        with locked(path), pytest.raises(BlockingIOError):
            locked(path)

        with locked(path):
            pass

    def test_a_lock_ends_with_its_process(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        with Process(LOCKS, path) as holder:
            holder.kill_there()

        with locked(path):
            pass


class TestIsDiskFull:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (OSError(errno.ENOSPC, "no room"), True),
            (OSError(errno.EDQUOT, "no quota"), True),
            (OSError(errno.EIO, "damaged"), False),
            (ValueError(errno.ENOSPC), False),
        ],
    )
    def test_a_full_disk_is_recognized_by_its_error_number(
        self, error: Exception, *, expected: bool
    ) -> None:
        assert is_disk_full(error) is expected
