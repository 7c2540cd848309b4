"""Which network addresses webhooks may reach: public ones, and networks that a setting lists.

The list follows the IANA registries of special-purpose addresses of November 2026. It is written
out, because `ipaddress.is_global` differs between patch releases of Python.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from app.settings.units import Network

Address = IPv4Address | IPv6Address

_SPECIAL_IPV4: Final = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind the NAT of a provider
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # metadata and DNS of Azure's virtual machines
        "169.254.0.0/16",  # link-local, with the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, with the metadata of Oracle's cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_SPECIAL_IPV6: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which leads to any IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Its last 32 bits are the IPv4 address that a gateway connects to (RFC 6052)."""


def is_reachable(address: Address, allowed: Iterable[Network]) -> bool:
    """Return whether webhooks may reach an address.

    Args:
        address: of a receiver. An IPv4 address that is written as IPv6 counts as IPv4.
        allowed: networks that the operator allows, even if they are not public.
    """
    judged = _as_ipv4(address)
    if any(judged in network for network in allowed if network.version == judged.version):
        return True
    if isinstance(judged, IPv4Address):
        return not any(judged in network for network in _SPECIAL_IPV4)
    return judged in _GLOBAL_IPV6 and not any(judged in network for network in _SPECIAL_IPV6)


def _as_ipv4(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address
