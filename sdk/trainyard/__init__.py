"""The client of Trainyard: send datasets and jobs to a server, follow them, fetch the results.

Names are imported when they are first used, so that a program that needs one pays for one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from trainyard.version import VERSION

if TYPE_CHECKING:
    from trainyard.async_client import AsyncClient as AsyncClient
    from trainyard.async_job import AsyncJob as AsyncJob
    from trainyard.client import Client as Client
    from trainyard.errors import AccessError as AccessError
    from trainyard.errors import ConfigurationError as ConfigurationError
    from trainyard.errors import ConflictError as ConflictError
    from trainyard.errors import DamagedDownloadError as DamagedDownloadError
    from trainyard.errors import DatasetInvalidError as DatasetInvalidError
    from trainyard.errors import InvalidError as InvalidError
    from trainyard.errors import JobFailed as JobFailed
    from trainyard.errors import ModelRefusedError as ModelRefusedError
    from trainyard.errors import NotFoundError as NotFoundError
    from trainyard.errors import ProblemError as ProblemError
    from trainyard.errors import QuotaError as QuotaError
    from trainyard.errors import ServerError as ServerError
    from trainyard.errors import TooManyRequestsError as TooManyRequestsError
    from trainyard.errors import TrainyardError as TrainyardError
    from trainyard.errors import UnavailableError as UnavailableError
    from trainyard.errors import UnexpectedAnswerError as UnexpectedAnswerError
    from trainyard.errors import UnreachableError as UnreachableError
    from trainyard.errors import WaitTimeout as WaitTimeout
    from trainyard.job import Job as Job
    from trainyard.packing import LayoutError as LayoutError
    from trainyard.yolo import YOLO as YOLO
    from trainyard.yolo import Run as Run

HOMES: Final = {
    "AccessError": "errors",
    "AsyncClient": "async_client",
    "AsyncJob": "async_job",
    "Client": "client",
    "ConfigurationError": "errors",
    "ConflictError": "errors",
    "DamagedDownloadError": "errors",
    "DatasetInvalidError": "errors",
    "InvalidError": "errors",
    "Job": "job",
    "JobFailed": "errors",
    "LayoutError": "packing",
    "ModelRefusedError": "errors",
    "NotFoundError": "errors",
    "ProblemError": "errors",
    "QuotaError": "errors",
    "Run": "yolo",
    "ServerError": "errors",
    "TooManyRequestsError": "errors",
    "TrainyardError": "errors",
    "UnavailableError": "errors",
    "UnexpectedAnswerError": "errors",
    "UnreachableError": "errors",
    "WaitTimeout": "errors",
    "YOLO": "yolo",
}
"""The module of each public name."""

__version__ = VERSION

__all__ = [
    "YOLO",
    "AccessError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "DamagedDownloadError",
    "DatasetInvalidError",
    "InvalidError",
    "Job",
    "JobFailed",
    "LayoutError",
    "ModelRefusedError",
    "NotFoundError",
    "ProblemError",
    "QuotaError",
    "Run",
    "ServerError",
    "TooManyRequestsError",
    "TrainyardError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "WaitTimeout",
]


def __getattr__(name: str) -> object:
    if name in HOMES:
        return getattr(import_module(f"trainyard.{HOMES[name]}"), name)
    raise AttributeError(f"module 'trainyard' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
