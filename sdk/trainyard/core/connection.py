"""Requests that are repeated when that is safe, and problems that become exceptions."""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from trainyard.core.steps import (
    Answer,
    Broken,
    NotConnected,
    Open,
    Operation,
    Request,
    Send,
    Wait,
)
from trainyard.errors import UnreachableError, problem_error

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
NOTHING_WAS_DONE: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
PERHAPS_DONE: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0


@dataclass
class Connection:
    """Sends the requests of one client.

    Args:
        url: of the server, for messages.
        patience_seconds: how long a request is repeated.
        has_answered: whether this server has ever answered; one that never did is not waited for.
    """

    url: str
    patience_seconds: float = 60.0
    has_answered: bool = field(default=False)

    def send(self, request: Request) -> Operation[Answer]:
        """Send a request, and again while that is safe and useful; return the answer.

        Raises:
            UnreachableError: no answer came.
            ProblemError: the server refused the request, or failed.
        """
        answer = yield from self._repeat(request)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise problem_error(_json_or_none(answer), answer.status)
        return answer

    def open(self, request: Request) -> Operation[Answer]:
        """Send a request once and return the head of its answer; `Receive` gives the rest.

        Raises:
            UnreachableError: no answer came.
            ProblemError: the server refused the request, or failed.
        """
        plain = replace(request, headers={"Accept-Encoding": "identity", **request.headers})
        outcome = yield from _once(Open(plain))
        if not isinstance(outcome, Answer):
            raise UnreachableError(self.url, str(outcome)) from outcome
        self.has_answered = True
        if outcome.status >= HTTPStatus.BAD_REQUEST:
            raise problem_error(_json_or_none(outcome), outcome.status)
        return outcome

    def json(self, method: str, path: str, **options: Any) -> Operation[Any]:  # noqa: ANN401
        """Send a request and return the JSON of the answer; text as text, None without a body.

        Args:
            method: of HTTP.
            path: below the address.
            options: as `request_of` takes them.
        """
        answer = yield from self.send(request_of(method, path, **options))
        return content_of(answer)

    def _repeat(self, request: Request) -> Operation[Answer]:
        patience = Patience(self.patience_seconds)
        while True:
            outcome = yield from _once(Send(request))
            again = self._may_send_again(request, outcome)
            at_least = retry_after(outcome.headers) if isinstance(outcome, Answer) else 0.0
            wait = patience.next_wait(at_least) if again else None
            if wait is not None:
                yield Wait(wait)
            elif isinstance(outcome, Answer):
                return outcome
            else:
                raise UnreachableError(self.url, str(outcome)) from outcome

    def _may_send_again(self, request: Request, outcome: "Outcome") -> bool:
        is_repeatable = request.is_repeatable or request.method in SAFE
        if isinstance(outcome, NotConnected):
            return self.has_answered
        if isinstance(outcome, Broken):
            return is_repeatable
        self.has_answered = True
        return outcome.status in NOTHING_WAS_DONE or (
            is_repeatable and outcome.status in PERHAPS_DONE
        )


Outcome = Answer | NotConnected | Broken


def _once(step: Send | Open) -> Operation[Outcome]:
    try:
        answer: Answer = yield step
    except (NotConnected, Broken) as error:
        return error
    return answer


class Patience:
    """Says how long to wait before something is tried again: longer each time, then no more.

    Args:
        seconds: after which it is at its end; `renew` gives it these seconds again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Begin again, because there was progress."""
        self._deadline = time.monotonic() + self._seconds
        self._pause = FIRST_PAUSE

    def next_wait(self, at_least: float = 0.0) -> float | None:
        """Return the seconds to wait; None if they would end after the patience does.

        Args:
            at_least: what the server asked for.
        """
        wait = max(at_least, self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return wait if time.monotonic() + wait <= self._deadline else None


def request_of(
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: object = None,
    headers: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401
) -> Request:
    """Return a request.

    Args:
        method: of HTTP.
        path: below the address.
        params: of the query; None values are left out.
        json: the body, if it is not None.
        headers: besides those that every request has.
        options: other fields of `Request`.
    """
    request = Request(method, path, params or {}, headers or {}, **options)
    if json is None:
        return request
    typed = {"Content-Type": "application/json", **request.headers}
    return replace(request, content=_dumped(json), headers=typed)


def _dumped(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def content_of(answer: Answer) -> Any:  # noqa: ANN401
    """Return the JSON of an answer, its text if it is of another type, None without a body."""
    if not answer.content:
        return None
    if "json" in answer.headers.get("content-type", ""):
        return json.loads(answer.content)
    return answer.content.decode("utf-8", "replace")


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of `Retry-After`, which may be a number or a date; 0 without it."""
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _json_or_none(answer: Answer) -> object:
    try:
        return json.loads(answer.content)
    except ValueError:
        return None
