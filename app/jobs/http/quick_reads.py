"""`GET /v1/jobs` and `GET /v1/jobs/{id}` in front of FastAPI, as clients ask them most often.

FastAPI takes longer to find a request's dependencies than the database takes to answer it. What is
answered here is what the routes `list_jobs` and `read_job` answer. It is read after the request
came, in one transaction with the key of the caller. Everything else, and every refusal, is left to
the routes.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Response
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.accounts.authentication import Authenticator, Principal
from app.accounts.keys import KeyScope, KeyText, parse_key
from app.core.context import Context
from app.core.database import NoFreeConnection
from app.core.media_types import accepts
from app.core.problems import database_problem
from app.core.shared_reads import BatchedReads
from app.jobs.http.list_pages import read_page
from app.jobs.http.listing import JobListQuery
from app.jobs.http.status import JSON, StatusAnswer, read_statuses

LIST: Final = "/v1/jobs"
STATUS: Final = re.compile(r"/v1/jobs/(?P<job_id>job_[0-9A-HJKMNP-TV-Z]{26})\Z")
BEARER: Final = "Bearer "
ONCE: Final = ("authorization", "if-none-match")
WITH_BODY: Final = frozenset({"content-length", "transfer-encoding"})
REPEATED: Final = frozenset({"state", "tag"})
"""Fields of a list's query that may occur several times."""


@dataclass(frozen=True)
class StatusQuestion:
    """A key, and the id of the job whose status it asks for."""

    key: KeyText
    job_id: str


class QuickReads:
    """Reads what keys ask, together with the keys: statuses in batches, and equal lists once.

    An answer is the caller and the response; None if the key may not read it.
    """

    def __init__(self, context: Context, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator
        self._statuses = BatchedReads(self._read_statuses)

    async def status(self, question: StatusQuestion) -> tuple[Principal, StatusAnswer] | None:
        """Answer a question for the status of a job."""
        return await self._statuses.answer(question)

    async def page(self, key: KeyText, query_string: bytes) -> tuple[Principal, bytes] | None:
        """Return a page of the list of jobs as JSON; None also for a query that is not plain."""
        query = _query_of(query_string)
        if query is None:
            return None
        return await self._context.shared_reads.answer(
            ("jobs of a key", key, query_string), lambda: self._read_page(key, query)
        )

    def _read_statuses(
        self, questions: Collection[StatusQuestion]
    ) -> Mapping[StatusQuestion, tuple[Principal, StatusAnswer]]:
        with self._context.database.read() as unit:
            keys = {question.key for question in questions}
            callers = self._authenticator.principals_of(unit.session, keys)
            asked = {
                question: (callers[question.key], question.job_id)
                for question in questions
                if _may_read(callers.get(question.key))
            }
            answers = read_statuses(unit, self._context, asked.values()) if asked else {}
        return {
            question: (each[0], answers[each])
            for question, each in asked.items()
            if each in answers
        }

    def _read_page(self, key: KeyText, query: JobListQuery) -> tuple[Principal, bytes] | None:
        with self._context.database.read() as unit:
            caller = self._authenticator.principals_of(unit.session, [key]).get(key)
            if caller is None or not _may_read(caller):
                return None
            return caller, read_page(unit, self._context, caller, query)


class QuickReadsMiddleware:
    """Pure ASGI middleware: answers plain requests for jobs, and leaves all others alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _response(scope)
        except NoFreeConnection as error:  # the route would wait as long again for a connection
            response = database_problem(error)
        except Exception:  # noqa: BLE001 -- the route meets it again, if it concerns this request
            response = None
        answered = self._app if response is None else response
        await answered(scope, receive, send)


async def _response(scope: Scope) -> Response | None:
    """Return the response; None for all but the plainest requests."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path: str = scope["path"]
    match = STATUS.match(path)
    if match is None and path != LIST:
        return None
    headers = Headers(scope=scope)
    key = _key_of(headers)
    if key is None:
        return None
    reads: QuickReads = scope["app"].state.quick_reads
    if match is None:
        page = await reads.page(key, scope["query_string"])
        return page and _told(scope, page[0], Response(page[1], media_type=JSON))
    if scope["query_string"]:
        return None
    status = await reads.status(StatusQuestion(key, match["job_id"]))
    return status and _told(scope, status[0], status[1].response(headers.get("if-none-match")))


def _key_of(headers: Headers) -> KeyText | None:
    """Return the key of a plain request; None for a credential of any other kind."""
    names = headers.keys()
    authorization = headers.get("authorization", "")
    if (
        WITH_BODY & set(names)
        or any(names.count(name) > 1 for name in ONCE)
        or not authorization.startswith(BEARER)
        or not accepts(", ".join(headers.getlist("accept")), [JSON])
    ):
        return None
    return parse_key(authorization.removeprefix(BEARER))


def _query_of(query_string: bytes) -> JobListQuery | None:
    """Return a valid query without surprises, as FastAPI would read it; None for any other."""
    fields: dict[str, str | list[str]] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if name in REPEATED:
            fields[name] = [*fields.get(name, []), value]
        elif name in fields:
            return None
        else:
            fields[name] = value
    try:
        return JobListQuery.model_validate(fields)
    except ValidationError:
        return None


def _may_read(caller: Principal | None) -> bool:
    return caller is not None and KeyScope.JOBS_READ in caller.scopes


def _told(scope: Scope, caller: Principal, response: Response) -> Response:
    """Return the response; tell the access log who the caller is."""
    scope.setdefault("state", {})["principal"] = caller
    return response
