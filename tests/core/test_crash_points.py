"""A crash point kills the process that reaches it by name, and only in a process under test."""

import os
import signal
import subprocess
import sys

import pytest

from app.core.crash_points import CrashPoint
from tests.architecture.sources import python_files

pytestmark = pytest.mark.unit

PROGRAM = """
from app.core.crash_points import CrashPoint, crash_point
for point in (CrashPoint.CLAIM_AFTER_COMMIT, CrashPoint.CHECKPOINT_STORED) * 2:
    print(point, flush=True)
    crash_point(point)
"""


def ran(**armed: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key[:9] != "TRAINYARD"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | armed,
        capture_output=True,
        text=True,
        check=False,
    )


class TestCrashPoints:
    def test_crash_points_do_nothing_unless_armed(self) -> None:
        assert ran(TRAINYARD_TESTING="1").returncode == 0

    def test_crash_points_do_nothing_outside_of_a_test(self) -> None:
        assert ran(TRAINYARD_CRASH_AT="checkpoint.stored").returncode == 0

    def test_a_crash_point_kills_where_it_is_armed(self) -> None:
        process = ran(TRAINYARD_TESTING="1", TRAINYARD_CRASH_AT="checkpoint.stored")

        assert process.returncode == -signal.SIGKILL
        assert len(process.stdout.splitlines()) == 2

    def test_a_crash_point_kills_at_the_passing_that_is_named(self) -> None:
        process = ran(TRAINYARD_TESTING="1", TRAINYARD_CRASH_AT="checkpoint.stored:2")

        assert process.returncode == -signal.SIGKILL
        assert len(process.stdout.splitlines()) == 4

    def test_an_unknown_crash_point_is_refused(self) -> None:
        assert "nowhere" in ran(TRAINYARD_TESTING="1", TRAINYARD_CRASH_AT="nowhere").stderr

    @pytest.mark.parametrize("point", CrashPoint, ids=str)
    def test_each_crash_point_is_in_one_place(self, point: CrashPoint) -> None:
        call = f"crash_point(CrashPoint.{point.name})"

        places = [path for path in python_files("app", "worker") if call in path.read_text()]

        assert len(places) == 1
