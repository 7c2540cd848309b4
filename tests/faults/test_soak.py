"""A short soak, marked `slow` because CI runs one of three minutes: `make soak MINUTES=…`."""

from pathlib import Path

import pytest

from tests.faults.soak import Plan, run_soak

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.slow]


def test_jobs_survive_random_kills_of_every_process(tmp_path: Path) -> None:
    plan = Plan(minutes=0.5, null_jobs=4, real_jobs=0, seed=7, pause_seconds=(1.0, 3.0))

    result = run_soak(tmp_path, "sqlite", plan)

    assert result.violations == [], str(result)
    assert result.jobs == 4
    assert result.faults.total() >= 5
