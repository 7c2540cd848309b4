"""Which encodings of a body the client of a request reads."""

from starlette.requests import Request


def takes_gzip(request: Request) -> bool:
    """Return whether the client of a request reads gzip (RFC 9110, 12.5.3).

    One that names gzip with the weight 0 does not. `*` is not taken to name it.
    """
    offered = ",".join(request.headers.getlist("accept-encoding")).lower()
    return any(_is_gzip(*each.partition(";")) for each in offered.split(","))


def _is_gzip(name: str, _separator: str, parameters: str) -> bool:
    if name.strip() not in {"gzip", "x-gzip"}:
        return False
    weight = parameters.replace(" ", "").removeprefix("q=") or "1"
    return weight.strip("0.") != ""
