"""Every refusal is problem+json with a stable type, and repeats no part of the request."""

from httpx2 import Response
from sqlalchemy import func, select

from app.artifacts.tables import ScrubPass
from app.core.database import Base, Database

CANARY = "c4n4ry"
"""Part of what hostile requests send; no answer may contain it."""
MEDIA_TYPE = "application/problem+json"


def assert_refused(answer: Response, *, status: int, slug: str, pointer: str | None = None) -> None:
    """Assert that the answer is problem `slug`, points at `pointer` and omits the canary."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    problem = answer.json()
    assert problem["type"] == f"urn:trainyard:problem:{slug}", problem
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
    assert CANARY not in answer.text
    assert CANARY not in str(answer.headers)


def rows_by_table(database: Database) -> dict[str, int]:
    """Return the number of rows in each table that only requests write."""
    tables = [each for each in Base.metadata.sorted_tables if each.name != ScrubPass.__tablename__]
    with database.read() as unit:
        return {
            table.name: unit.session.scalar(select(func.count()).select_from(table)) or 0
            for table in tables
        }
