"""The lines about refused connections belong to no request."""

import asyncio

from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.http_server.record import CutReason, Record


def test_a_line_does_not_have_the_id_of_a_request_in_whose_context_it_is_written() -> None:
    async def cut() -> None:
        record = Record()
        with bound_contextvars(request_id="req_earlier"):
            record.add(CutReason.SLOW_HEAD, "127.0.0.1")
        record.close()

    with capture_logs(processors=[merge_contextvars]) as lines:
        asyncio.run(cut())

    (line,) = lines
    assert (line["event"], line["kind"]) == ("connections.refused", "slow-head")
    assert "request_id" not in line
