"""Stands in for MLflow."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.sdk.trackers.recorded import record, record_file


def set_experiment(experiment_name: str) -> None:
    assert experiment_name


@contextmanager
def start_run(*, run_name: str) -> Iterator[None]:
    assert run_name
    yield


def set_tag(key: str, value: str) -> None:
    record("tag", None, [key])
    assert value


def log_params(params: Mapping[str, Any]) -> None:
    record("parameter", None, params)


def log_metrics(metrics: Mapping[str, float], step: int) -> None:
    """Note metrics; names that MLflow refuses are refused."""
    for name in metrics:
        assert re.fullmatch(r"[\w\-. /:]+", name), name
    record("metric", step, metrics)


def log_artifact(local_path: str) -> None:
    record_file(local_path)
