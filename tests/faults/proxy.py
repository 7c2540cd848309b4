"""A proxy that breaks a connection as networks do, in front of PostgreSQL, Valkey or the server.

It listens on a loopback port or a unix socket and forwards bytes to another one, until a fault is
set: `cut`, `stall`, `cut_after`, `delay`, `lose_commit_answers`. `heal` ends every fault. A fault
applies at once, to open and to new connections.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy.engine import URL, make_url

Result = TypeVar("Result")

TcpAddress = tuple[str, int]
Address = TcpAddress | Path

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
COMMIT_MESSAGE = b"Q\x00\x00\x00\x0bCOMMIT\x00"
ROLLBACK_MESSAGE = b"Q\x00\x00\x00\x0dROLLBACK\x00"
"""The message with which psycopg ends a transaction: a simple query of the PostgreSQL protocol."""

NETWORK_ENDED = (OSError, asyncio.IncompleteReadError)


class Direction(Enum):
    """The direction in which bytes travel."""

    TO_SERVER = auto()
    TO_CLIENT = auto()


@dataclass
class Network:
    """The current faults between clients and `upstream`; a new network has none.

    `commits_to_lose` is the number of further COMMITs that are carried without their answer, among
    transactions that sent `lost_marker` to the server; `lost_commits` counts those already lost.
    """

    upstream: Address
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    delay_seconds: float = 0.0
    cut_after: tuple[Direction, int] | None = None
    commits_to_lose: int = 0
    lost_marker: bytes = b""
    lost_commits: int = 0

    def take_commit_to_lose(self, transaction: bytes) -> bool:
        """Return whether the answer to this transaction's COMMIT must be lost."""
        if not self.commits_to_lose or self.lost_marker not in transaction:
            return False
        self.commits_to_lose -= 1
        self.lost_commits += 1
        return True


class FaultProxy:
    """Carries bytes between clients and `upstream`; made by `fault_proxy`.

    Any thread may call its methods; each returns once its effect holds.
    """

    def __init__(self, upstream: Address, listen: Path | None) -> None:
        self._listen = listen
        self._port = 0
        self._network = Network(upstream)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Listen until the block ends; `fault_proxy` calls it once."""
        self._thread.start()
        self._on_loop(self._resume())
        try:
            yield self
        finally:
            self._on_loop(self._refuse())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def address(self) -> Address:
        """The address that clients connect to; it never changes."""
        return self._listen or (LOOPBACK, self._port)

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    @property
    def lost_commits(self) -> int:
        """Return the number of COMMITs whose answer was lost so far."""
        return self._network.lost_commits

    def heal(self) -> None:
        """Carry everything again, including the bytes that a stall held back."""
        network = self._network
        network.delay_seconds, network.cut_after, network.commits_to_lose = 0.0, None, 0
        self._on_loop(self._resume())

    def cut(self) -> None:
        """Break every connection and refuse new ones, like a host that is down."""
        self._on_loop(self._refuse())

    def break_connections(self) -> None:
        """Break every open connection; carry new ones."""
        self._on_loop(self._break())

    def stall(self) -> None:
        """Accept connections and bytes but deliver none, like a network that drops packets."""
        self._on_loop(self._hold())

    def delay(self, seconds: float) -> None:
        """Deliver everything `seconds` later, in both directions."""
        self._network.delay_seconds = seconds

    def cut_after(self, count: int, direction: Direction) -> None:
        """Break each connection after its first `count` bytes in that direction."""
        self._network.cut_after = (direction, count)

    def lose_commit_answers(self, *, marker: bytes = b"", times: int = 1) -> None:
        """Carry the next COMMIT to PostgreSQL, wait for its answer, then break the connection.

        Args:
            marker: affect only transactions that send these bytes to the server. psycopg sends a
                statement's text the first five times on a connection, then its name.
            times: the number of transactions.
        """
        self._network.lost_marker = marker
        self._network.commits_to_lose = times

    def _on_loop(self, work: Coroutine[None, None, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _resume(self) -> None:
        self._network.flows.set()
        if self._server is None:
            self._server = await self._listening()

    async def _hold(self) -> None:
        if self._server is None:
            self._server = await self._listening()
        self._network.flows.clear()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._listen is not None:
            self._listen.unlink(missing_ok=True)
        await self._break()

    async def _break(self) -> None:
        broken = list(self._open)
        for connection in broken:
            connection.abort()
        await asyncio.gather(*(connection.ended.wait() for connection in broken))

    async def _listening(self) -> asyncio.Server:
        if self._listen is not None:
            return await asyncio.start_unix_server(self._accept, self._listen)
        server = await asyncio.start_server(self._accept, LOOPBACK, self._port)
        self._port = server.sockets[0].getsockname()[1]
        return server

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self._network, reader, writer)
        self._open.add(connection)
        try:
            await connection.carry()
        finally:
            self._open.discard(connection)
            connection.ended.set()


class _Connection:
    """One client's connection and its connection to the server."""

    def __init__(
        self, network: Network, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.ended = asyncio.Event()
        self._network = network
        self._reader = reader
        self._writers = [writer]
        self._tasks: list[asyncio.Task[None]] = []
        self._transaction = b""
        self._answer_is_lost = False
        self._is_aborted = False

    async def carry(self) -> None:
        """Carry bytes both ways until either side ends or `abort` is called."""
        try:
            server_reader, server_writer = await _connect(self._network.upstream)
        except OSError:
            self.abort()
            return
        self._writers.append(server_writer)
        if self._is_aborted:  # while it connected
            self.abort()
            return
        pumps = (
            self._pump(Direction.TO_SERVER, self._reader, server_writer),
            self._pump(Direction.TO_CLIENT, server_reader, self._writers[0]),
        )
        self._tasks = [asyncio.create_task(pump) for pump in pumps]
        await asyncio.wait(self._tasks)
        self.abort()

    def abort(self) -> None:
        """Break both sides at once; undelivered bytes are lost."""
        self._is_aborted = True
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        carried = 0
        with suppress(*NETWORK_ENDED):
            while data := await reader.read(CHUNK_BYTES):
                await self._network.flows.wait()
                await asyncio.sleep(self._network.delay_seconds)
                if self._answer_is_lost and direction is Direction.TO_CLIENT:
                    break  # the server has answered: the transaction is committed
                allowed = self._allowed(direction, data, carried)
                if direction is Direction.TO_SERVER:
                    self._watch_transaction(data)
                writer.write(allowed)
                await writer.drain()
                carried += len(allowed)
                if len(allowed) < len(data):
                    break
            else:
                await self._pass_end_on(writer)
                return
        self.abort()

    async def _pass_end_on(self, writer: asyncio.StreamWriter) -> None:
        """Signal the end of the stream to the other side, which may still send."""
        await self._network.flows.wait()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def _allowed(self, direction: Direction, data: bytes, carried: int) -> bytes:
        limit = self._network.cut_after
        if limit is None or limit[0] is not direction:
            return data
        return data[: max(0, limit[1] - carried)]

    def _watch_transaction(self, data: bytes) -> None:
        self._transaction += data
        if COMMIT_MESSAGE in self._transaction:
            self._answer_is_lost = self._network.take_commit_to_lose(self._transaction)
            self._transaction = b""
        elif ROLLBACK_MESSAGE in self._transaction:
            self._transaction = b""


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address)


@contextmanager
def fault_proxy(upstream: Address, *, listen: Path | None = None) -> Iterator[FaultProxy]:
    """Yield a proxy in front of `upstream`; it ends with the block.

    Args:
        upstream: a host and port of the loopback, or the path of a unix socket.
        listen: the unix socket to listen on; without it, a free port of the loopback.
    """
    with FaultProxy(upstream, listen).running() as proxy:
        yield proxy


@contextmanager
def postgres_proxy(url: str | URL) -> Iterator[tuple[FaultProxy, str]]:
    """Yield a proxy in front of the PostgreSQL at `url`, and the URL that leads through it."""
    direct = make_url(url)
    host = direct.query.get("host", direct.host or LOOPBACK)
    port = direct.port or 5432
    named = str(host)
    upstream = Path(named) / f".s.PGSQL.{port}" if named.startswith("/") else (named, port)
    with fault_proxy(upstream) as proxy:
        listening = proxy.address
        assert isinstance(listening, tuple)
        through = direct.difference_update_query(["host"]).set(host=LOOPBACK, port=listening[1])
        yield proxy, through.render_as_string(hide_password=False)
