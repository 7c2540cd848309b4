"""Which encodings of a body the client of a request reads."""

import pytest
from starlette.requests import Request

from app.core.encodings import takes_gzip


def a_request(*offered: str) -> Request:
    headers = [(b"accept-encoding", each.encode()) for each in offered]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    "offered", [["gzip"], ["br, GZIP"], ["deflate", "gzip;q=0.5"], ["x-gzip; q=1"]], ids=str
)
def test_a_client_that_names_gzip_reads_it(offered: list[str]) -> None:
    assert takes_gzip(a_request(*offered))


@pytest.mark.parametrize(
    "offered",
    [
        *([], [""], ["identity"], ["*"], ["agzip"]),
        *(["gzip;q=0"], ["gzip; q=0.000, br"], ["gzip;\tq=0"]),
        *(["gzip;q=-1"], ["gzip;q=x"], ["gzip;q=0;a=b"]),
    ],
    ids=str,
)
def test_a_client_that_does_not_name_gzip_reads_it_not(offered: list[str]) -> None:
    assert not takes_gzip(a_request(*offered))
