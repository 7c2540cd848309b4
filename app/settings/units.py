"""Types and units of settings."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

MIB = 1024 * 1024
GIB = 1024 * MIB
