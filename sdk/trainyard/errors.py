"""The errors of the client. Every problem type of the server is one of these exceptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainyard.views.datasets import DatasetView, FindingView
    from trainyard.views.jobs import JobView

PREFIX: Final = "urn:trainyard:problem:"


class TrainyardError(Exception):
    """Any error that the client raises on purpose."""


class ConfigurationError(TrainyardError):
    """The client does not know which server to use, or a file of its configuration is invalid."""


class UnreachableError(TrainyardError):
    """The server did not answer, also after the request was repeated.

    Args:
        url: of the server.
        cause: why, in the words of the network.
    """

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"The server at {url} does not answer: {cause}")
        self.url = url
        self.cause = cause


class UnexpectedAnswerError(TrainyardError):
    """The server answered with something that this release of the client cannot read."""


@dataclass(frozen=True)
class Field:
    """One invalid field of a request.

    Args:
        pointer: JSON pointer, or `query/…`, `header/…`, `path/…`.
        code: stable, for programs.
        message: what was wrong and what would be right.
    """

    pointer: str
    code: str
    message: str


class ProblemError(TrainyardError):
    """The server refused a request, or failed.

    Args:
        document: the problem (RFC 9457).
        status: the HTTP status of the response.

    Attributes:
        type: the stable type; programs compare it, or `slug`, its last part.
        fields: the invalid fields.
        facts: what else the problem tells, such as `allowed` or `revision`.
    """

    def __init__(self, document: Mapping[str, Any], status: int) -> None:
        self.type = str(document.get("type", "about:blank"))
        self.title = str(document.get("title", "")) or _phrase(status)
        self.status = status
        self.detail = str(document.get("detail", ""))
        self.fields = _fields(document.get("errors"))
        self.request_id = str(document.get("request_id", ""))
        self.facts = {key: value for key, value in document.items() if key not in _KNOWN}
        super().__init__(self._sentence())

    @property
    def slug(self) -> str:
        """The last part of `type`, such as `job-not-found`."""
        return self.type.removeprefix(PREFIX)

    def _sentence(self) -> str:
        lines = [f"{field.pointer}: {field.message}" for field in self.fields]
        text = "\n  ".join([f"{self.title}:", *lines]) if len(lines) > 1 else ""
        return text or self.detail or f"{self.title} (HTTP {self.status})"


_KNOWN: Final = {"type", "title", "status", "detail", "errors", "request_id"}


class InvalidError(ProblemError):
    """The request is not valid as it is: 400, 422 and their kin."""


class AccessError(ProblemError):
    """The key is missing or invalid, or does not allow this: 401 and 403."""


class NotFoundError(ProblemError):
    """There is no such thing, or the caller may not see it: 404 and 410."""


class ConflictError(ProblemError):
    """The state of something does not allow this now: 409 and 412."""


class QuotaError(ProblemError):
    """A quota is used up, or the disk of the server is full."""


class TooManyRequestsError(ProblemError):
    """The caller does this too often, or has too much open at once: 429."""


class UnavailableError(ProblemError):
    """The server cannot do this at the moment: 503 and its kin."""


class ServerError(ProblemError):
    """The server failed; its log has the details under `request_id`."""


BY_SLUG: Final[Mapping[str, type[ProblemError]]] = {
    "quota-exceeded": QuotaError,
    "too-many-webhooks": QuotaError,
    "queue-full": QuotaError,
    "insufficient-storage": QuotaError,
    "database-full": QuotaError,
}
BY_STATUS: Final[Mapping[int, type[ProblemError]]] = {
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    412: ConflictError,
    429: TooManyRequestsError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


class DatasetInvalidError(TrainyardError):
    """The verification of a dataset found errors.

    Args:
        version: the version of the dataset, as `DatasetView`.
        findings: its errors and warnings, as `FindingView`, each with what to change.
    """

    def __init__(self, version: "DatasetView", findings: "Sequence[FindingView]") -> None:
        lines = [f"{_place(each)}{each.message} {each.remedy}" for each in findings[:SHOWN]]
        more = [f"… and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        head = f"The dataset {version.name} (version {version.number}) is invalid:"
        super().__init__("\n  ".join([head, *lines, *more]))
        self.version = version
        self.findings = list(findings)


class ModelRefusedError(TrainyardError):
    """The inspection of weights refused them."""


class JobFailed(TrainyardError):
    """A job failed or was cancelled.

    Args:
        job: as `JobView`.
        log_tail: the last lines of its log.

    Attributes:
        reason: the end reason, such as `out_of_memory`; `cancelled` for a cancelled job.
        hint: what to do.
    """

    def __init__(self, job: "JobView", log_tail: str = "") -> None:
        error = job.error
        self.job = job
        self.reason = job.state if error is None else error.code
        self.hint = "" if error is None else error.hint
        self.log_tail = log_tail
        said = f"was {job.state}" if error is None else f"failed: {error.title}. {error.message}"
        parts = [f"The job {job.name or job.id} {said}", self.hint]
        super().__init__("\n".join(part for part in parts if part))


class WaitTimeout(TrainyardError, TimeoutError):
    """What was waited for did not happen in time. The job goes on."""


class DamagedDownloadError(TrainyardError):
    """The bytes of a file are not those that the server announced; nothing was kept."""


SHOWN: Final = 20


def _place(finding: "FindingView") -> str:
    line = "" if finding.line is None else f", line {finding.line}"
    return "" if finding.file is None else f"{finding.file}{line}: "


def problem_error(document: object, status: int) -> ProblemError:
    """Return the exception of a problem, also of one that this release does not know.

    Args:
        document: the body of the response; anything that is no problem counts as an empty one.
        status: of the response.
    """
    problem = document if isinstance(document, dict) else {}
    slug = str(problem.get("type", "")).removeprefix(PREFIX)
    kind = BY_SLUG.get(slug) or BY_STATUS.get(status) or _by_class(status)
    return kind(problem, status)


def _by_class(status: int) -> type[ProblemError]:
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InvalidError
    return ServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ProblemError


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown response"


def _fields(errors: object) -> list[Field]:
    found = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return [
        Field(*(str(each.get(name, "")) for name in ("pointer", "code", "message")))
        for each in found
    ]
