"""Where a webhook's URL leads: its parts, and the addresses that its host name has.

A URL is refused rather than corrected: a spelling that two programs read differently is how
requests get past such checks.
"""

import re
import socket
import threading
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from app.settings.webhooks import WebhookSettings
from app.webhooks.addresses import Address, is_reachable

MAX_URL: Final = 2000
FIRST_FREE_PORT: Final = 1024
DEFAULT_PORTS: Final = {"https": 443, "http": 80}
REFUSED_PORTS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566}
    | {6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
"""Ports above 1023 that browsers refuse: https://fetch.spec.whatwg.org/#port-blocking."""

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
MAX_HOST: Final = 253


class UrlFault(StrEnum):
    """Why a URL is refused."""

    SYNTAX = "url-syntax"
    SCHEME = "url-scheme"
    CREDENTIALS = "url-credentials"
    FRAGMENT = "url-fragment"
    HOST = "url-host"
    PORT = "url-port"
    UNKNOWN_HOST = "url-unknown-host"
    ADDRESS = "url-address"


SENTENCES: Final = {
    UrlFault.SYNTAX: "Write an absolute URL in ASCII, such as https://example.com/hook.",
    UrlFault.SCHEME: "The URL must begin with https://.",
    UrlFault.CREDENTIALS: "The URL must not contain a user name or a password.",
    UrlFault.FRAGMENT: "The URL must not contain a fragment (#).",
    UrlFault.HOST: "The host must be a name without a final dot, or an IP address in its usual "
    "form: four decimal numbers, or IPv6 in brackets.",
    UrlFault.PORT: "The port must be 80, 443, or one above 1023 that browsers allow.",
    UrlFault.UNKNOWN_HOST: "The host name has no address.",
    UrlFault.ADDRESS: "The host has an address that is not public. An operator can allow networks "
    "with the setting webhooks.allowed_networks.",
}


@dataclass(frozen=True)
class Destination:
    """The parts of a URL that was accepted."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class Resolver(Protocol):
    """Finds the addresses of host names."""

    def addresses_of(self, host: str, *, within: float) -> tuple[Address, ...]:
        """Return every address of a host name; none if it has none.

        Raises:
            TimeoutError: no answer came within these seconds.
        """


class SystemResolver:
    """The resolver of this machine."""

    def addresses_of(self, host: str, *, within: float) -> tuple[Address, ...]:
        """Return every address of a host name; none if it has none.

        Raises:
            TimeoutError: no answer came within these seconds, or the name servers failed.
        """
        found: list[tuple[Address, ...] | OSError] = []
        # getaddrinfo has no time limit of its own, and nothing can interrupt it.
        asking = threading.Thread(
            target=lambda: found.append(_look_up(host)), name="webhook-resolver", daemon=True
        )
        asking.start()
        asking.join(max(0.0, within))
        if not found or isinstance(found[0], OSError):
            message = "the name servers did not answer"
            raise TimeoutError(message)
        return found[0]


class DestinationRules:
    """Judges URLs and addresses by the settings.

    Args:
        settings: what is allowed.
        resolver: finds the addresses of host names.
    """

    def __init__(self, settings: WebhookSettings, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver

    def destination(self, url: str) -> Destination | UrlFault:
        """Return the parts of a URL, or why it is refused. Nothing is looked up."""
        if len(url) > MAX_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
            return UrlFault.SYNTAX
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return UrlFault.SYNTAX
        schemes = ("https", "http") if self._settings.allow_http else ("https",)
        if parts.scheme not in schemes:
            return UrlFault.SCHEME
        host = _host_of(parts)
        port = port if port is not None else DEFAULT_PORTS[parts.scheme]
        faults = {
            UrlFault.SYNTAX: not url.lower().startswith(f"{parts.scheme}://"),
            UrlFault.CREDENTIALS: "@" in parts.netloc,
            UrlFault.FRAGMENT: "#" in url,
            UrlFault.HOST: host is None,
            UrlFault.PORT: parts.netloc.endswith(":") or not _is_sensible(port),
        }
        fault = next((fault for fault, is_so in faults.items() if is_so), None)
        if fault is not None or host is None:
            return fault or UrlFault.HOST
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Destination(parts.scheme, host, port, target)

    def addresses(self, to: Destination, *, within: float) -> tuple[Address, ...] | UrlFault:
        """Look the host up once, and return its addresses if all of them may be reached.

        Raises:
            TimeoutError: the host was not found within these seconds, but may exist.
        """
        literal = _literal(to.host)
        found = (literal,) if literal else self._resolver.addresses_of(to.host, within=within)
        if not found:
            return UrlFault.UNKNOWN_HOST
        if all(is_reachable(each, self._settings.allowed_networks) for each in found):
            return found
        return UrlFault.ADDRESS


def _host_of(parts: SplitResult) -> str | None:
    """Return the host in its one spelling, or None if it has another one."""
    host = parts.hostname or ""
    if "[" in parts.netloc:
        literal = None if "%" in host else _literal(host)
        return str(literal) if isinstance(literal, IPv6Address) and _is_own(literal) else None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # browsers read such a host as an IPv4 address
        return host if isinstance(_literal(host), IPv4Address) else None
    is_name = len(host) <= MAX_HOST and all(_LABEL.fullmatch(label) for label in labels)
    return host if is_name else None


def _is_own(literal: IPv6Address) -> bool:
    """Return whether an address is no disguise of an IPv4 address."""
    return literal.ipv4_mapped is None and literal.sixtofour is None and literal.teredo is None


def _is_sensible(port: int) -> bool:
    if port in DEFAULT_PORTS.values():
        return True
    return port >= FIRST_FREE_PORT and port not in REFUSED_PORTS


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _look_up(host: str) -> tuple[Address, ...] | OSError:
    unknown = {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_FAMILY}
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return () if error.errno in unknown else error
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA does not allow
        return error if isinstance(error, OSError) else ()
    return tuple(dict.fromkeys(ip_address(str(each[4][0]).partition("%")[0]) for each in found))
