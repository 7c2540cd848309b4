"""Limits of connections in all and of one address, also behind a proxy (H14, F3, A16)."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.http_server.admission import Admission, CountedConnection
from app.http_server.descriptors import connection_limit, raise_file_limit
from app.http_server.errors import ServerFull, TooManyConnections
from app.http_server.record import CutReason
from app.settings.units import LOOPBACK
from tests.http_server.served import Served, descriptors, request, served
from tests.waiting import eventually

OTHER = "127.0.0.2"
PROXIED = {"behind_proxy": True}
CROWDED = {"per_address": 3, "unlimited_addresses": []}


def admission(*, maximum: int = 100, per_address: int = 2) -> Admission:
    return Admission(maximum=maximum, per_address=per_address, unlimited_addresses=LOOPBACK)


@pytest.mark.unit
class TestAdmission:
    def test_an_address_has_no_more_connections_than_its_limit(self) -> None:
        crowd = admission()
        first = crowd.admit("192.0.2.1")
        crowd.admit("192.0.2.1")

        with pytest.raises(TooManyConnections):
            crowd.admit("192.0.2.1")
        first.release()
        first.release()  # counts once

        crowd.admit("192.0.2.1")
        with pytest.raises(TooManyConnections):
            crowd.admit("::ffff:192.0.2.1")

    def test_a_network_of_ipv6_counts_as_one_address(self) -> None:
        crowd = admission()
        crowd.admit("2001:db8::1")
        crowd.admit("2001:db8::2")

        with pytest.raises(TooManyConnections):
            crowd.admit("2001:db8::ffff:1")
        crowd.admit("2001:db8:0:1::1")

    def test_loopback_is_not_limited_as_an_address(self) -> None:
        crowd = admission()

        assert all(crowd.admit(address) for address in ["127.0.0.1", "127.8.8.8", "::1"] * 5)

    def test_a_full_server_closes_the_longest_idle_connection(self) -> None:
        crowd, closed = admission(maximum=2), list[str]()

        def closing(name: str, counted: CountedConnection) -> Callable[[], None]:
            def close() -> None:
                closed.append(name)
                counted.release()

            return close

        for name in ("first", "second"):
            crowd.became_idle(closing(name, crowd.admit("127.0.0.1")))

        crowd.admit("127.0.0.1")
        crowd.admit("127.0.0.1")

        assert closed == ["first", "second"]
        with pytest.raises(ServerFull):
            crowd.admit("127.0.0.1")

    def test_a_refused_connection_leaves_no_count(self) -> None:
        crowd = admission(maximum=1)
        slot = crowd.admit("192.0.2.1")

        for _ in range(5):
            with pytest.raises(ServerFull):
                crowd.admit("192.0.2.2")
        slot.release()

        assert not crowd._by_address
        assert crowd._open == 0


@pytest.mark.unit
class TestDescriptors:
    def test_the_limit_leaves_files_for_requests_and_the_database(self) -> None:
        assert connection_limit(None, files=1024, request_threads=40) == 1024 - 256 - 240
        assert connection_limit(None, files=65_536, request_threads=40) == 10_000
        assert connection_limit(50, files=1024, request_threads=40) == 50
        assert connection_limit(5000, files=1024, request_threads=40) == 528
        assert connection_limit(None, files=64, request_threads=40) == 16

    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[0]), before[1]))
        try:
            files = raise_file_limit()
            after = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

        assert files == after > 512


@pytest.mark.integration
class TestCrowds:
    def test_an_address_over_its_limit_is_told_and_others_are_served(self, tmp_path: Path) -> None:
        with served(tmp_path / "home", limits=CROWDED) as server:
            held = [server.connect(OTHER) for _ in range(3)]
            assert held[2].send(request("GET", "/")).answer().status == 200
            with server.connect(OTHER) as refused:
                answers = refused.answers()
            alive = server.is_alive()
            for connection in held:
                connection.__exit__(None, None, None)
            server.wait_until_free()
            with server.connect(OTHER) as again:
                status = again.send(request("GET", "/")).answer().status

        assert [(each.status, each.slug) for each in answers] == [(429, "too-many-connections")]
        assert (alive, status) == (True, 200)
        assert server.counts[CutReason.TOO_MANY_OF_ADDRESS] == 1

    def test_idle_connections_make_room_for_a_request(self, tmp_path: Path) -> None:
        before = descriptors()

        with served(tmp_path / "home", limits={"maximum": 20}) as server:
            idle = [server.connect() for _ in range(200)]
            alive = [server.is_alive() for _ in range(10)]
            count = descriptors()
            for connection in idle:
                connection.__exit__(None, None, None)

        assert all(alive)
        assert count < before + 200 + 40 + 20  # ours, the server's, and what its loop needs
        assert server.counts[CutReason.EVICTED] >= 180

    def test_a_server_that_is_full_of_requests_says_so(self, tmp_path: Path) -> None:
        with served(tmp_path / "home", limits={"maximum": 3}) as server:
            busy = [server.connect().send(request("GET", "/wait")) for _ in range(3)]
            eventually(lambda: len(server.server.server_state.tasks) == 3, within=10)
            with server.connect() as refused:
                answers = refused.answers()
            for connection in busy:
                connection.__exit__(None, None, None)

        assert [(each.status, each.slug) for each in answers] == [(503, "server-full")]
        assert answers[0].headers["retry-after"] == "5"
        assert server.app.left in {0, 3}


@pytest.mark.integration
class TestForwardedAddresses:
    def test_requests_of_one_forwarded_address_are_limited_and_of_others_not(
        self, tmp_path: Path
    ) -> None:
        with served(tmp_path / "home", settings=PROXIED, limits={"per_address": 2}) as server:
            wait = request("GET", "/wait", "X-Forwarded-For: 192.0.2.1")
            busy = [server.connect().send(wait) for _ in range(2)]
            eventually(lambda: len(server.server.server_state.tasks) == 2, within=10)
            statuses = []
            for address in ("192.0.2.1", "192.0.2.2"):
                with server.connect() as connection:
                    connection.send(request("GET", "/", f"X-Forwarded-For: {address}"))
                    statuses.append(connection.answer().status)
            for connection in busy:
                connection.__exit__(None, None, None)

        assert statuses == [429, 200]
        assert not server.shared.admission._by_address


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    trusted = {**PROXIED, "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}
    with served(tmp_path_factory.mktemp("proxied") / "home", settings=trusted) as running:
        yield running


@pytest.mark.integration
class TestForwarding:
    @pytest.mark.parametrize(
        ("lines", "client"),
        [
            (["X-Forwarded-For: 192.0.2.7"], "192.0.2.7"),
            (["X-Forwarded-For: 6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (["X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
            (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7"], "192.0.2.7"),
            (["X-Forwarded-For: 192.0.2.7:4711"], "192.0.2.7"),
            (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1"),
            (["X-Forwarded-For: 6.6.6.6, nonsense, 10.1.2.3"], "10.1.2.3"),
            (["X-Forwarded-For: nonsense"], "127.0.0.1"),
            (["X-Real-IP: 192.0.2.7", "Forwarded: for=192.0.2.7"], "127.0.0.1"),
            ([], "127.0.0.1"),
        ],
    )
    def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
        self, proxied: Served, lines: list[str], client: str
    ) -> None:
        with proxied.connect() as connection:
            seen = connection.send(request("GET", "/", *lines)).answer().json

        assert seen["client"][0] == client
        assert [name for name, _ in seen["headers"]] == ["host"]

    def test_scheme_and_host_of_a_trusted_proxy_are_believed(self, proxied: Served) -> None:
        lines = ("X-Forwarded-Proto: https", "X-Forwarded-Host: cats.example")

        with proxied.connect() as connection:
            seen = connection.send(request("GET", "/", *lines)).answer().json

        assert (seen["scheme"], seen["headers"]) == ("https", [["host", "cats.example"]])

    @pytest.mark.parametrize("source", [OTHER])
    def test_a16_another_peer_is_not_believed_and_the_log_names_it(
        self, proxied: Served, source: str
    ) -> None:
        lines = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil")

        with proxied.connect(source) as connection:
            seen = connection.send(request("GET", "/", *lines)).answer().json

        assert (seen["client"][0], seen["scheme"]) == (source, "http")
        assert seen["headers"] == [["host", "127.0.0.1"]]
        assert proxied.counts[CutReason.UNTRUSTED_PROXY] >= 1

    def test_a16_without_a_proxy_nobody_is_believed(self, usual: Served) -> None:
        with usual.connect() as connection:
            connection.send(request("GET", "/", "X-Forwarded-For: 6.6.6.6"))
            seen = connection.answer().json

        assert seen["client"][0] == "127.0.0.1"
        assert seen["headers"] == [["host", "127.0.0.1"]]
