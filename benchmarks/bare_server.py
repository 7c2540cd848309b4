"""The smallest possible durable submit: FastAPI, SQLAlchemy, one row, one commit.

`python -m benchmarks.bare_server DATABASE PORT` serves like Trainyard (uvicorn, uvloop,
httptools, forty threads) on the same kind of database (SQLite, WAL, synchronous=FULL, BEGIN
IMMEDIATE). Writers queue in the process; with SQLite's own polling they would be several times
slower.
"""

import sqlite3
import sys
import threading
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import JSON, Connection, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

CONNECTIONS = 40
"""One connection for each thread on which FastAPI runs handlers by default."""


class Base(DeclarativeBase):
    """The base class of the only table."""


class Row(Base):
    """A job's row, which holds only its request."""

    __tablename__ = "rows"
    id: Mapped[str] = mapped_column(primary_key=True)
    dataset: Mapped[str]
    model: Mapped[str]
    train: Mapped[dict[str, Any]] = mapped_column(JSON)


class Asked(BaseModel):
    """The body of a submit, whose arguments are not validated."""

    dataset: str
    model: str
    train: dict[str, Any]
    resources: dict[str, Any]


class Kept(BaseModel):
    """The answer."""

    id: str


def make_app(database: str) -> FastAPI:
    """Return an application with one route."""
    engine = create_engine(
        f"sqlite:///{database}", pool_size=CONNECTIONS, connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    Base.metadata.create_all(engine)
    turn = threading.Lock()
    app = FastAPI()

    @app.post("/rows", status_code=201)
    def keep(asked: Asked) -> Kept:
        row = Row(id=uuid.uuid4().hex, dataset=asked.dataset, model=asked.model, train=asked.train)
        with turn, Session(engine, expire_on_commit=False) as session, session.begin():
            session.add(row)
        return Kept(id=row.id)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    return app


def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def main() -> None:
    """Serve the database that the command line names."""
    database, port = sys.argv[1:]
    app = make_app(database)
    uvicorn.run(app, port=int(port), http="httptools", loop="uvloop", access_log=False)


if __name__ == "__main__":
    main()
