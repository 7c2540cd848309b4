"""The benchmarks start, count the answers, and judge ratios by the budgets in their tables."""

import asyncio
import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from benchmarks.load_client import FIRST_NUMBER, NUMBER, Load, Target, put_load, requests_of
from benchmarks.requests import bare_server
from benchmarks.statistics_of_pairs import ratio_of_means

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


NAMES = (
    "overhead",
    "start",
    "requests",
    "cancel",
    "training_state",
    "download",
    "datasets",
    "hostile",
    "stream",
)
PROGRAM = """
import contextlib, io, json, runpy, sys

answers = {}
for path in sys.argv[1:]:
    status, output = None, io.StringIO()
    sys.argv = [path, "--help"]
    try:
        with contextlib.redirect_stdout(output):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        status = end.code
    answers[path] = status, output.getvalue()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[int, str]]:
    """Return each script's status and output on --help, all from one process: imports take long."""
    scripts = [str(SCRIPTS / f"{name}.py") for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *scripts],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


class TestScripts:
    @pytest.mark.integration
    @pytest.mark.parametrize("name", NAMES)
    def test_each_runs_as_a_script(self, name: str, answers: dict[str, tuple[int, str]]) -> None:
        status, output = answers[str(SCRIPTS / f"{name}.py")]

        assert status == 0
        assert output.startswith(f"usage: {name}.py")


class TestLoad:
    @pytest.mark.integration
    def test_every_answer_is_counted_and_a_refusal_is_none(self, tmp_path: Path) -> None:
        with bare_server(tmp_path) as bare:
            hello = Load([Target(f"{bare.url}/livez", {})], "GET", "", 200, clients=4, seconds=0.3)
            wrong = [Target(f"{bare.url}/nowhere", {})]
            nowhere = Load(wrong, "GET", "", 200, clients=1, seconds=0.1)

            answered, refused = (asyncio.run(put_load(load)) for load in (hello, nowhere))

        assert answered.answers == len(answered.milliseconds) >= 4
        assert answered.refused == 0
        assert refused.answers == 0
        assert refused.refused >= 1


@pytest.mark.unit
class TestRatio:
    def test_equal_pairs_have_no_interval(self) -> None:
        ratio = ratio_of_means([(2.0, 1.0)] * 10)

        assert (ratio.value, ratio.low, ratio.high) == (2.0, 2.0, 2.0)

    def test_the_interval_holds_the_ratio_and_narrows_with_more_pairs(self) -> None:
        noisy = [(1.0, 1.1), (1.2, 1.0), (0.9, 1.0), (1.1, 0.9)]

        few, many = ratio_of_means(noisy), ratio_of_means(noisy * 10)

        assert few.low < few.value < few.high
        assert many.high - many.low < few.high - few.low


@pytest.mark.unit
class TestDifferentRequests:
    def test_clients_begin_at_different_targets_and_send_no_body_twice(self) -> None:
        targets = [Target(f"http://127.0.0.1/{name}", {}) for name in "ab"]
        load = Load(targets, "POST", f'{{"seed":{NUMBER}}}', 201, clients=2, seconds=1)
        numbers = count(FIRST_NUMBER)

        requests = [next(requests_of(load, client, numbers)) for client in (0, 1)]

        assert [each.split()[1] for each in requests] == [b"/a", b"/b"]
        assert [each[-11:] for each in requests] == [b":100000000}", b":100000001}"]
