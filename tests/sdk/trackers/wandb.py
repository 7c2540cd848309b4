"""Stands in for W&B."""

from collections.abc import Mapping
from typing import Any, Self

from tests.sdk.trackers.recorded import record, record_file


class Run:
    """A run; steps must not decrease."""

    def __init__(self) -> None:
        self._step = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def log(self, data: Mapping[str, float], step: int) -> None:
        assert step >= self._step
        self._step = step
        record("metric", step, data)

    def log_artifact(self, path: str, *, name: str, type: str) -> None:  # noqa: A002 - W&B's word
        assert name
        assert type
        record_file(path)


def init(*, project: str, name: str, config: Mapping[str, Any]) -> Run:
    assert project
    assert name
    record("parameter", None, config)
    return Run()
