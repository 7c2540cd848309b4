"""Which encodings of a body the client of a request reads."""

import re
from typing import Final

from starlette.requests import Request

GZIP: Final = re.compile(r"(x-)?gzip\s*(;\s*q=(0\.0{0,2}[1-9][0-9]{0,2}|1(\.0{0,3})?)\s*)?")


def takes_gzip(request: Request) -> bool:
    """Return whether the client of a request names gzip with a weight above 0 (RFC 9110, 12.5.3).

    What is not well-formed names nothing: every client reads a body without an encoding.
    """
    offered = ",".join(request.headers.getlist("accept-encoding")).lower()
    return any(GZIP.fullmatch(each.strip()) for each in offered.split(","))
