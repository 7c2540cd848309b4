"""The headers that every response has, errors included: one table, applied in one place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import MutableHeaders

NO_STORE: Final = "no-store"
REVALIDATED: Final = "private, no-cache"
"""Kept by the caller alone, who asks each time whether it is still current."""
IMMUTABLE: Final = "private, max-age=31536000, immutable"
"""Only for content that is named by its digest, or by an id whose content never changes."""

NO_FRAMES: Final = "frame-ancestors 'none'"
NOTHING: Final = f"default-src 'none'; {NO_FRAMES}"
SANDBOX: Final = f"sandbox; {NOTHING}"
"""For bytes that users uploaded: a browser must not treat them as a page of this server."""
HSTS: Final = "max-age=31536000"
FIRST_ERROR_STATUS: Final = 400


@dataclass(frozen=True)
class Answer:
    """What decides about the headers of a response.

    Attributes:
        status: of HTTP.
        headers: that the route has set.
        is_tls: whether the request came by TLS, to this server or to a trusted proxy.
    """

    status: int
    headers: Mapping[str, str]
    is_tls: bool

    @property
    def is_html(self) -> bool:
        """Whether a browser would show it as a page."""
        return self.headers.get("content-type", "").strip().lower().startswith("text/html")


def _cache_control(answer: Answer) -> str:
    own = answer.headers.get("cache-control")
    if answer.is_html or answer.status >= FIRST_ERROR_STATUS:
        return NO_STORE
    if own in {NO_STORE, REVALIDATED, IMMUTABLE}:
        return own
    return REVALIDATED if "etag" in answer.headers else NO_STORE


def _content_security_policy(answer: Answer) -> str:
    own = answer.headers.get("content-security-policy", NOTHING)
    return own if NO_FRAMES in own else f"{own}; {NO_FRAMES}"


RULES: Final[Mapping[str, Callable[[Answer], str | None]]] = {
    "X-Content-Type-Options": lambda _: "nosniff",
    "Referrer-Policy": lambda _: "no-referrer",
    "Cross-Origin-Resource-Policy": lambda _: "same-origin",
    "Content-Security-Policy": _content_security_policy,
    "Cache-Control": _cache_control,
    "Strict-Transport-Security": lambda answer: HSTS if answer.is_tls else None,
}
"""The value of each header; None: the response does not have it."""


def complete(headers: MutableHeaders, status: int, *, is_tls: bool) -> None:
    """Add the headers of `RULES` to those of a response, or replace them."""
    answer = Answer(status, headers, is_tls)
    for name, value in [(name, rule(answer)) for name, rule in RULES.items()]:
        if value is not None:
            headers[name] = value
