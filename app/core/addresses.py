"""Network addresses of clients, and what of them counts as one client."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

IPV6_PREFIX: Final = 64
"""One subscriber has a whole /64 network of IPv6 addresses."""


def parsed_address(address: str) -> IPv4Address | IPv6Address | None:
    """Return the address; an IPv4 address that is written as IPv6 is an IPv4 address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def counted_client(address: str) -> str:
    """Return what limits count for an address; other text counts as it is."""
    parsed = parsed_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


def is_loopback(address: str) -> bool:
    """Return whether an address is that of the machine itself."""
    parsed = parsed_address(address)
    return parsed is not None and parsed.is_loopback
