"""Limits on connections, which hold for clients without a key too."""

from pydantic import BaseModel, ConfigDict, Field

from app.settings.units import LOOPBACK, Network, Seconds


class ConnectionSettings(BaseModel):
    """How long a client may take, and how many connections it may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head_seconds: Seconds = Field(
        10.0,
        description="Time from the start of a connection, or from the first byte of a later "
        "request, to the complete head. A trailer has as long, and so has a TLS handshake.",
    )
    idle_seconds: Seconds = Field(
        15.0,
        description="Time from an answer to the first byte of the next request. Longer than a "
        "proxy keeps its idle connections, or the proxy reports failed requests.",
    )
    slow_seconds: Seconds = Field(
        60.0,
        description="A client that is slower than `minimum_bytes_per_second` for this long is cut "
        "off, whether it sends a body or reads an answer.",
    )
    minimum_bytes_per_second: int = Field(
        1024, ge=1, description="Rate at which a client must send a body and read an answer."
    )
    maximum: int | None = Field(
        None,
        ge=1,
        description="Connections in all. Default: what the limit of open files leaves after a "
        "reserve for files and the database, at most 10000.",
    )
    per_address: int = Field(
        100,
        ge=1,
        description="Connections of one address (IPv6: one /64 network). Behind trusted proxies: "
        "requests at the same time from one forwarded address.",
    )
    unlimited_addresses: tuple[Network, ...] = Field(
        LOOPBACK, description="Networks that `per_address` does not apply to."
    )
