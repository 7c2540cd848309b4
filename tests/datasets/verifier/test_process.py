"""The process that a server starts for one verification."""

import sys
from pathlib import Path

from app.core.cage.plan import CagePlan
from app.core.guarded_files import remove_tree
from app.datasets.reports.report import PackRequest
from app.datasets.verification_process import run_process

COUNT_THREADS = """
import os

import app.datasets.verification.verify

print(len(os.listdir("/proc/self/task")), app.datasets.verification.verify.__name__)
"""

LEAVE_A_DEEP_TREE = """
import os

os.symlink("/etc/passwd", "link")
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
"""


class TestLinks:
    def test_links_are_removed_however_deep_the_folders_are(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(LEAVE_A_DEEP_TREE)
        work = tmp_path / "work"
        work.mkdir()
        request = PackRequest(pack=tmp_path / "pack.zip", output=work, task="detect")

        ended = run_process(
            (sys.executable, str(program)),
            request,
            work,
            cages=CagePlan(tmp_path, "off"),
            interrupted=lambda _: False,
        )

        assert (ended.exit_code, (work / "link").is_symlink()) == (0, False), ended.output
        remove_tree(work)


class TestThreads:
    def test_a_verification_has_one_thread_after_its_libraries_are_loaded(
        self, tmp_path: Path
    ) -> None:
        program = tmp_path / "program.py"
        program.write_text(COUNT_THREADS)
        request = PackRequest(pack=tmp_path / "pack.zip", output=tmp_path, task="detect")

        ended = run_process(
            (sys.executable, str(program)),
            request,
            tmp_path,
            cages=CagePlan(tmp_path),
            interrupted=lambda _: False,
        )

        assert (ended.exit_code, ended.output.split()[0]) == (0, "1")


LEAVE_A_LINK = """
import os, pathlib

os.symlink("/etc/passwd", "overview.bin")
try:
    pathlib.Path("../outside").touch()
except OSError:
    print("refused")
"""


class TestCage:
    def test_a_process_writes_to_its_directory_only_and_leaves_no_link(
        self, tmp_path: Path
    ) -> None:
        directory, program = tmp_path / "directory", tmp_path / "program.py"
        directory.mkdir()
        program.write_text(LEAVE_A_LINK)
        request = PackRequest(pack=tmp_path / "pack.zip", output=directory, task="detect")

        ended = run_process(
            (sys.executable, str(program)),
            request,
            directory,
            cages=CagePlan(tmp_path),
            interrupted=lambda _: False,
        )

        assert (ended.exit_code, ended.output) == (0, "refused\n")
        assert sorted(entry.name for entry in directory.iterdir()) == ["log", "request.json"]
