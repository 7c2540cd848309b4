"""Which `TRAINYARD_*` variables of an environment mean something, and to whom.

A misspelt variable would otherwise be ignored: one letter wrong in the database's, and a server
would start on a new SQLite database, and no worker would see its jobs.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel

PREFIX: Final = "TRAINYARD_"
FILE_SUFFIX: Final = "_FILE"
"""`TRAINYARD_<NAME>_FILE` names a file that contains the value of a secret setting."""

SECRET_FIELDS: Final = (
    "database_url",
    "database_password",
    "broker_url",
    "broker_password",
    "store_url",
    "secret_key",
)
"""Settings that are, or may contain, a secret."""

OTHER_VARIABLES: Final = frozenset(
    {
        "TRAINYARD_CONFIG",  # the TOML file with settings
        "TRAINYARD_SLOTS",  # docker-compose.yml, as the four below
        "TRAINYARD_SERVER_MEMORY",
        "TRAINYARD_SERVER_CPUS",
        "TRAINYARD_WORKER_MEMORY",
        "TRAINYARD_WORKER_CPUS",
        "TRAINYARD_URL",  # clients: the address of the server
        "TRAINYARD_API_KEY",  # clients: the API key
        "TRAINYARD_KEY",  # the same, in scripts of before there was a client
        "TRAINYARD_ATTEMPT",  # a worker marks the processes of an attempt
        "TRAINYARD_PROBE",  # trainyard doctor --probe marks what no cage may show
        "TRAINYARD_EVENTS_FD",  # a worker passes a pipe to its trainer
        "TRAINYARD_TESTING",  # tests: allows crash points and the null trainer
        "TRAINYARD_CRASH_AT",  # tests: app/core/crash_points.py
        "TRAINYARD_TEST_POSTGRES_URL",  # tests/databases.py
    }
)
"""Variables that are no settings, but that our programs and their clients read."""

_KUBERNETES: Final = re.compile(
    r"TRAINYARD_(?:\w+_)?(?:"
    r"SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT_\d{1,5}_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?"
    r")"
)
_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d{1,5}")
"""The value of `<SERVICE>_PORT`. For a service `trainyard`, the name is that of our setting."""


def is_of_kubernetes(name: str, value: str) -> bool:
    """Return whether Kubernetes sets such a variable in each pod for a service.

    They exist for every service of the namespace whose name begins with `trainyard`.
    """
    if _KUBERNETES.fullmatch(name):
        return True
    return name.endswith("_PORT") and _LINK.fullmatch(value) is not None


def variables_of(settings: type[BaseModel]) -> frozenset[str]:
    """Return the names of the variables that set a field of `settings`, in upper case."""
    files = (f"{PREFIX}{name.upper()}{FILE_SUFFIX}" for name in SECRET_FIELDS)
    return frozenset({*_variables(settings, PREFIX), *files})


def unknown_variables(environ: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Return the `TRAINYARD_*` variables that nothing reads, sorted.

    Names are compared in upper case, as pydantic reads them.
    """
    return sorted(
        name
        for name, value in environ.items()
        if (upper := name.upper()).startswith(PREFIX)
        and upper not in known
        and upper not in OTHER_VARIABLES
        and not is_of_kubernetes(upper, value)
    )


def closest(name: str, known: Collection[str]) -> str | None:
    """Return the name that was probably meant, or None."""
    meant = {each.removeprefix(PREFIX): each for each in sorted(known)}
    found = get_close_matches(name.upper().removeprefix(PREFIX), meant, n=1)
    return meant[found[0]] if found else None


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        yield variable
        inner: Any = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _variables(inner, f"{variable}__")
