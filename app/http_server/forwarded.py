"""Who the client is behind a proxy: forwarding headers of trusted proxies, no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.addresses import parsed_address
from app.http_server.head import Fields
from app.settings.units import Network

FORWARDING: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True)
class Origin:
    """Where a request comes from: what the application sees of it.

    `forwarded` is whether a trusted proxy named the client.
    """

    client: tuple[str, int]
    scheme: str
    fields: Fields
    forwarded: bool = False
    ignored: bool = False


def origin_of(
    fields: Fields, *, peer: tuple[str, int], scheme: str, proxies: Sequence[Network]
) -> Origin:
    """Return the origin of a request; the forwarding headers are removed from its fields.

    The client is the rightmost address of `X-Forwarded-For` that is no trusted proxy: what is left
    of it was written by that client. A value that is no address ends the search.
    """
    kept = [each for each in fields if each[0] not in FORWARDING]
    has_forwarding = len(kept) < len(fields)
    if not is_trusted(peer[0], proxies):
        return Origin(peer, scheme, kept, ignored=has_forwarding)
    client = _client(_values(fields, b"x-forwarded-for"), proxies)
    schemes = _values(fields, b"x-forwarded-proto")
    hosts = _values(fields, b"x-forwarded-host")
    if schemes and schemes[-1].lower() in SCHEMES:
        scheme = schemes[-1].lower()
    if hosts:
        kept = [each for each in kept if each[0] != b"host"]
        kept.append((b"host", hosts[-1].encode("latin-1")))
    return Origin((client, 0) if client else peer, scheme, kept, forwarded=client is not None)


def is_trusted(address: str, proxies: Sequence[Network]) -> bool:
    """Return whether the address belongs to one of the networks."""
    parsed = parsed_address(address)
    return parsed is not None and any(parsed in network for network in proxies)


def _client(addresses: list[str], proxies: Sequence[Network]) -> str | None:
    found: str | None = None
    for address in reversed(addresses):
        parsed = parsed_address(_without_port(address))
        if parsed is None:
            break
        found = str(parsed)
        if not is_trusted(found, proxies):
            break
    return found


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _values(fields: Fields, name: bytes) -> list[str]:
    """Return the comma-separated values of a field, each line of it in order."""
    lines = [value.decode("latin-1") for each, value in fields if each == name]
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]
