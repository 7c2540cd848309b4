"""Count the calls of a function of the standard library, which still does its work."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest


@contextmanager
def counted(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the list of the arguments of each call in the block."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(module, name)

    def count(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- any function
        calls.append(arguments)
        return function(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, count)
        yield calls
