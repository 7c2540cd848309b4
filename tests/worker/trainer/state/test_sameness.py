import os
from pathlib import Path

import pytest
import ultralytics

from tests.worker.trainer.jobs import a_job
from worker.trainer.state.not_exact import NotExact
from worker.trainer.state.sameness import compare_environment, environment_of

REASONS = {
    "python": "other_versions",
    "ultralytics": "other_versions",
    "torch": "other_versions",
    "numpy": "other_versions",
    "albumentations": "other_albumentations",
    "plugin": "other_plugin",
    "threads": "other_threads",
    "cpu": "other_cpu",
    "device": "other_device",
}


class TestEnvironmentOf:
    def test_an_environment_has_the_version_of_every_installed_library(
        self, tmp_path: Path
    ) -> None:
        known = environment_of(a_job(tmp_path, tmp_path, threads=1))

        assert known["ultralytics"] == ultralytics.__version__
        assert {name for name, fact in known.items() if fact is None} <= {
            "albumentations",
            "plugin",
        }


class TestCompareEnvironment:
    def test_the_environment_of_the_same_process_is_equal(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path, threads=1)

        compare_environment(environment_of(job), job)

    @pytest.mark.parametrize("name", REASONS)
    def test_a_fact_that_differs_is_named(self, name: str, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path, threads=1)
        saved = environment_of(job) | {name: "another"}

        with pytest.raises(NotExact, match="another") as refused:
            compare_environment(saved, job)

        assert refused.value.reason == REASONS[name]

    def test_a_fact_that_was_not_known_then_is_named(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, tmp_path, threads=1)
        saved = {name: fact for name, fact in environment_of(job).items() if name != "torch"}

        with pytest.raises(NotExact) as refused:
            compare_environment(saved, job)

        assert refused.value.reason == "other_versions"

    def test_fewer_cores_than_the_jobs_threads_are_named(self, tmp_path: Path) -> None:
        threads = len(os.sched_getaffinity(0)) + 1
        job = a_job(tmp_path, tmp_path, threads=threads)

        with pytest.raises(NotExact) as refused:
            compare_environment(environment_of(job), job)

        assert refused.value.reason == "fewer_cores"
