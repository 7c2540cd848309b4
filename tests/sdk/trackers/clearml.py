"""Stands in for ClearML."""

from collections.abc import Mapping
from typing import Any, Self

from tests.sdk.trackers.recorded import record, record_file


class Logger:
    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        assert isinstance(value, float)
        record("metric", iteration, [f"{title}/{series}"])


class Task:
    """A task, and what makes one."""

    @classmethod
    def init(cls, *, project_name: str, task_name: str) -> Self:
        assert project_name
        assert task_name
        return cls()

    def connect(self, mutable: Mapping[str, Any]) -> None:
        record("parameter", None, mutable)

    def get_logger(self) -> Logger:
        return Logger()

    def upload_artifact(self, name: str, artifact_object: str) -> None:
        assert name
        record_file(artifact_object)

    def close(self) -> None:
        pass
