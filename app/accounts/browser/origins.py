"""Where a request comes from: a page of this server, one of another site, or no browser.

Browsers send `Sec-Fetch-Site` to servers that they reach by HTTPS or on their own machine, and
`Origin` with every request that is not a GET. Pages cannot change either.
"""

import ipaddress
from enum import Enum, auto
from typing import Final

from starlette.requests import Request

from app.accounts.browser.errors import CrossSiteRequest

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES: Final = frozenset({"same-origin", "none"})
"""`none`: the user typed the address or used a bookmark."""
DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Source(Enum):
    """What caused a request, as its headers say."""

    OWN = auto()
    OTHER = auto()
    UNKNOWN = auto()


def source_of(request: Request) -> Source:
    """Return what caused the request; UNKNOWN if it has neither of the headers.

    Another port or scheme of the same host is another site, and so is `localhost` for 127.0.0.1.
    """
    sites = request.headers.getlist("sec-fetch-site")
    if sites:
        return Source.OWN if len(sites) == 1 and sites[0] in OWN_SITES else Source.OTHER
    origins = request.headers.getlist("origin")
    if origins:
        return Source.OWN if origins == [own_origin(request)] else Source.OTHER
    return Source.UNKNOWN


def require_own_source(request: Request) -> None:
    """Refuse a request that changes something unless a page of this server caused it.

    Raises:
        CrossSiteRequest: another site caused it, or nothing shows that none did.
    """
    if request.method not in SAFE_METHODS and source_of(request) is not Source.OWN:
        raise CrossSiteRequest


def refuse_other_source(request: Request) -> None:
    """Refuse a request that a page of another site caused.

    For requests without a cookie, such as sign-in: a caller without both headers is no browser.

    Raises:
        CrossSiteRequest: another site caused it.
    """
    if request.method not in SAFE_METHODS and source_of(request) is Source.OTHER:
        raise CrossSiteRequest


def own_origin(request: Request) -> str:
    """Return the origin of this server as the client sees it, without the scheme's own port."""
    scheme = request.scope["scheme"]
    host = request.headers.get("host", "").lower()
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS.get(scheme, ''))}"


def is_encrypted(request: Request) -> bool:
    """Return whether the client uses HTTPS, to this server or to a trusted proxy."""
    return bool(request.scope["scheme"] == "https")


def is_on_loopback(request: Request) -> bool:
    """Return whether the client's URL names the client's own machine."""
    name = (request.url.hostname or "").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
