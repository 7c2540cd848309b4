"""What every page has: the signed-in user, the API, and how it is rendered and sent."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.accounts.authentication import Principal, signed_in
from app.core.encodings import takes_gzip
from app.core.path_prefix import link
from app.version import VERSION
from app.web import formats, words
from app.web.api import Api
from app.web.static_files import static_link

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing of another origin, and no script or style inside the page."""
HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
SMALLEST_PACKED: Final = 1024


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    environment.filters.update(formats.FILTERS)
    environment.globals.update(
        link=link, static=static_link, words=words, version=VERSION, with_query=with_query
    )
    return environment


def with_query(path: str, query: Mapping[str, Any], **changes: Any) -> str:  # noqa: ANN401
    """Return the address of a page with its parameters and some changes; None removes one."""
    given = {**query, **changes}
    kept = {name: value for name, value in given.items() if value not in (None, "", [])}
    return link(path) + (f"?{urlencode(kept, doseq=True)}" if kept else "")


TEMPLATES: Final = _environment()


@dataclass(frozen=True)
class Page:
    """The page that a signed-in user asked for.

    Attributes:
        request: of the browser.
        api: the JSON API, for this user.
        me: the user, as `/v1/me` describes it.
        after: the position of the event log before anything of the page was read, from which
            scripts follow what happens; empty for a fragment.
        principal: the user and the projects.
    """

    request: Request
    api: Api
    me: dict[str, Any]
    after: str
    principal: Principal

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address; of one that is given twice, the last."""
        return dict(self.request.query_params)

    @property
    def origin(self) -> str:
        """Scheme, host and port of this server as the browser sees them."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    @property
    def is_fragment(self) -> bool:
        """Whether a script of ours asked, which puts the answer into the page."""
        return _is_fragment(self.request)

    async def render(
        self,
        template: str,
        *,
        status: int = 200,
        is_secret: bool = False,
        **values: Any,  # noqa: ANN401 -- whatever the template shows
    ) -> Response:
        """Return the page.

        Args:
            template: its name, such as `jobs/list.html`.
            status: of HTTP.
            is_secret: the page shows a secret, so it is sent uncompressed: the length of a
                compressed page can reveal what is in it.
            values: what the template shows.
        """
        values |= {"page": self, "me": self.me}
        return await rendered(self.request, template, values, status=status, is_secret=is_secret)

    def redirect(self, path: str, query: Mapping[str, Any] | None = None) -> Response:
        """Return the answer to a form that was accepted: the browser opens `path`."""
        return redirect(path, query)


def redirect(path: str, query: Mapping[str, Any] | None = None) -> Response:
    """Return the answer that makes a browser open `path` by GET."""
    return Response(status_code=303, headers={"Location": with_query(path, query or {})})


async def rendered(
    request: Request,
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    is_secret: bool = False,
) -> Response:
    """Return a page that may have no user, such as that of an error; see `Page.render`."""
    shown = {"me": None, "page": None, "request": request, "now": datetime.now(UTC), **values}
    body = await run_in_threadpool(_rendered, template, shown)
    headers = {**HEADERS, "Vary": "Accept-Encoding"}
    if not is_secret and len(body) >= SMALLEST_PACKED and takes_gzip(request):
        body = await run_in_threadpool(gzip.compress, body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers, media_type="text/html")


def _rendered(template: str, values: Mapping[str, Any]) -> bytes:
    text = TEMPLATES.get_template(template).render(values)
    return text.encode(errors="replace")  # half a surrogate pair, which JSON can have


async def _open(request: Request, principal: Annotated[Principal, Depends(signed_in)]) -> Page:
    api = Api(request)
    me = await api.get("/v1/me")
    after = "" if _is_fragment(request) else (await api.get("/v1/events", {"limit": 1}))["next"]
    return Page(request, api, me, after, principal)


def _is_fragment(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


InPage = Annotated[Page, Depends(_open)]
"""The page of a route. A browser without a session is sent to the sign-in page."""
