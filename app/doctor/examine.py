"""Run every check of an installation."""

import os
from collections.abc import Callable, Iterable
from functools import partial

from app.configuration import BadConfiguration, refuse_open_bind
from app.doctor.cage_checks import check_cage, check_cpu_slots, check_doors
from app.doctor.home_checks import check_home, check_server
from app.doctor.machine_checks import (
    check_disks,
    check_environment,
    check_gpus,
    check_packages,
    check_shared_memory,
)
from app.doctor.results import CheckResult, error, fine
from app.doctor.service_checks import check_broker, check_database, check_store
from app.settings import Settings

Check = Callable[[], Iterable[CheckResult]]


def examine(settings: Settings, *, probe: bool = False) -> list[CheckResult]:
    """Return what every check finds; a check that fails itself is an error of its own.

    Args:
        settings: of the installation.
        probe: also try every forbidden thing from inside a cage, which takes seconds.
    """
    checks: dict[str, Check] = {
        "configuration": partial(_check_configuration, settings),
        "home": partial(check_home, settings),
        "database": partial(check_database, settings),
        "broker": partial(check_broker, settings),
        "store": partial(check_store, settings),
        "disk": partial(check_disks, settings),
        "shared memory": check_shared_memory,
        "gpu": check_gpus,
        "cpu slots": check_cpu_slots,
        "cage": partial(check_cage, settings),
        "packages": check_packages,
        "environment": partial(check_environment, os.environ),
        "server": partial(check_server, settings),
    }
    if probe:
        checks["probe"] = partial(check_doors, settings)
    return [result for name, check in checks.items() for result in _results_of(name, check)]


def _results_of(name: str, check: Check) -> list[CheckResult]:
    try:
        return list(check())
    except Exception as failure:  # noqa: BLE001 -- one broken check must not hide the others
        return [error(name, f"The check failed ({type(failure).__name__}).", "Report this.")]


def _check_configuration(settings: Settings) -> Iterable[CheckResult]:
    try:
        refuse_open_bind(settings)
    except BadConfiguration as refusal:
        return [error("configuration", str(refusal), "The server would not start.")]
    return [fine("configuration", "Every setting is known and valid.")]
