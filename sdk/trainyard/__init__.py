"""The client of Trainyard: send datasets and jobs to a server, follow them, fetch the results.

Names are imported when they are first used, so that a program that needs one pays for one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from trainyard.version import VERSION

if TYPE_CHECKING:
    from trainyard.async_client import AsyncClient as AsyncClient
    from trainyard.client import Client as Client
    from trainyard.errors import AccessError as AccessError
    from trainyard.errors import ConfigurationError as ConfigurationError
    from trainyard.errors import ConflictError as ConflictError
    from trainyard.errors import InvalidError as InvalidError
    from trainyard.errors import NotFoundError as NotFoundError
    from trainyard.errors import ProblemError as ProblemError
    from trainyard.errors import QuotaError as QuotaError
    from trainyard.errors import TrainyardError as TrainyardError
    from trainyard.errors import UnavailableError as UnavailableError
    from trainyard.errors import UnreachableError as UnreachableError
    from trainyard.job import Job as Job

HOMES: Final = {
    "AccessError": "errors",
    "AsyncClient": "async_client",
    "Client": "client",
    "ConfigurationError": "errors",
    "ConflictError": "errors",
    "InvalidError": "errors",
    "Job": "job",
    "NotFoundError": "errors",
    "ProblemError": "errors",
    "QuotaError": "errors",
    "TrainyardError": "errors",
    "UnavailableError": "errors",
    "UnreachableError": "errors",
}
"""The module of each public name."""

__version__ = VERSION

__all__ = [
    "AccessError",
    "AsyncClient",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "InvalidError",
    "Job",
    "NotFoundError",
    "ProblemError",
    "QuotaError",
    "TrainyardError",
    "UnavailableError",
    "UnreachableError",
]


def __getattr__(name: str) -> object:
    if name in HOMES:
        return getattr(import_module(f"trainyard.{HOMES[name]}"), name)
    raise AttributeError(f"module 'trainyard' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
