"""Rules for every test: sockets reach only this machine, and no test downloads a file."""

import gc
import ipaddress
import logging
import socket
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from PIL import Image

pytest_plugins = ["tests.databases", "tests.worlds.rows", "tests.core.empty_databases"]

PILLOWS_OPEN = Image.open
"""An import of Ultralytics replaces `Image.open` in this process (8.4.190, utils/patches.py:83)."""

LONG = ("tests/e2e/", "tests/faults/", "tests/worker/trainer/", "tests/browser/", "tests/api/test_")
"""Beginnings of the names of files that take long, although some have a single test."""

LOOPBACK_NAMES = {"localhost", "", None}

# The speed at which examples are made and run depends on the load of the machine. pytest-randomly's
# seed gives the examples, also where `CI` is set.
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")

gc.disable()  # until all tests are collected, which makes a million objects and hardly any garbage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that no process waits at the end for another's long file."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    """Leave the collected tests out of collections of garbage: each training here asks for one."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _sockets_only_to_loopback() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        _guard(patch, "connect")
        _guard(patch, "connect_ex")
        yield


@pytest.fixture(scope="session", autouse=True)
def _tracebacks_are_plain() -> None:
    """Log plain tracebacks: by default structlog spends minutes on drawing all their variables."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a program that ran in this process configured: its stream is closed."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**configured)


@pytest.fixture(autouse=True)
def _pillow_as_the_server_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", PILLOWS_OPEN)


def _guard(patch: pytest.MonkeyPatch, name: str) -> None:
    original = getattr(socket.socket, name)

    def guarded(self: socket.socket, address: object) -> object:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address):
            pytest.fail(f"a test may reach loopback only, not {address!r}")
        return original(self, address)

    patch.setattr(socket.socket, name, guarded)


def _is_loopback(address: object) -> bool:
    host = address[0] if isinstance(address, tuple) else address
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
