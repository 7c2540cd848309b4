"""What a server and a worker check of their database and broker before they start."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis, RedisError
from structlog.testing import capture_logs

from app.configuration import BadConfiguration
from app.core.broker import _command, socket_path
from app.core.database_errors import DatabaseUnreachable
from app.core.start_checks import (
    check_broker,
    check_database,
    check_database_patiently,
    require_broker,
)
from app.settings import Settings
from tests.waiting import eventually

PASSWORD = "hunter2"
POSTGRES = "postgresql://trainyard@127.0.0.1:1/trainyard"


def settings_of(home: Path, **given: object) -> Settings:
    return Settings.model_validate({"home": home, **given})


class TestDatabase:
    def test_a_database_of_this_release_is_accepted(
        self, tmp_path: Path, database_url: str
    ) -> None:
        check_database(settings_of(tmp_path, database_url=database_url))

    def test_a_file_that_does_not_exist_is_refused_and_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(BadConfiguration, match="there is no database"):
            check_database(settings_of(tmp_path))

        assert list(tmp_path.iterdir()) == []

    def test_a_server_that_does_not_respond_may_do_so_later(self, tmp_path: Path) -> None:
        settings = settings_of(tmp_path, database_url=POSTGRES)

        with pytest.raises(DatabaseUnreachable, match="TRAINYARD_DATABASE_URL"):
            check_database(settings)
        with capture_logs() as lines:
            assert not check_database_patiently(settings)

        assert [line["event"] for line in lines] == ["database.unreachable"]


class TestRequiredBroker:
    def test_f11_a_database_elsewhere_needs_a_broker(self, tmp_path: Path) -> None:
        with pytest.raises(BadConfiguration, match="TRAINYARD_BROKER_URL"):
            require_broker(settings_of(tmp_path, database_url=POSTGRES))

    @pytest.mark.parametrize(
        "given", [{}, {"database_url": POSTGRES, "broker_url": "redis://127.0.0.1/0"}]
    )
    def test_a_home_of_its_own_or_a_broker_is_enough(
        self, tmp_path: Path, given: dict[str, str]
    ) -> None:
        require_broker(settings_of(tmp_path, **given))

    def test_a_worker_of_trainyard_up_uses_the_broker_of_the_home(self, tmp_path: Path) -> None:
        socket_path(tmp_path).parent.mkdir()
        socket_path(tmp_path).touch()

        require_broker(settings_of(tmp_path, database_url=POSTGRES))


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    """Yield the socket of a broker with a password."""
    with tempfile.TemporaryDirectory(prefix="broker-", dir="/tmp") as folder:
        path = Path(folder) / "broker.sock"
        argv = [*_command(path), "--requirepass", PASSWORD]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
            eventually(lambda: _answers(path), within=30)
            yield path
            process.kill()


class TestBroker:
    @pytest.mark.parametrize("login", ["", ":wrong@"])
    def test_a_refused_password_is_permanent(
        self, tmp_path: Path, socket: Path, login: str
    ) -> None:
        url = f"redis+socket://{login}{socket}"

        with pytest.raises(BadConfiguration, match="TRAINYARD_BROKER_URL") as refusal:
            check_broker(settings_of(tmp_path, broker_url=url, insecure_broker=True))

        assert "wrong" not in str(refusal.value)

    def test_the_right_password_is_accepted(self, tmp_path: Path, socket: Path) -> None:
        url = f"redis+socket://:{PASSWORD}@{socket}"

        with capture_logs() as lines:
            check_broker(settings_of(tmp_path, broker_url=url))

        assert lines == []

    def test_a_broker_that_does_not_respond_is_waited_for(self, tmp_path: Path) -> None:
        with capture_logs() as lines:
            check_broker(settings_of(tmp_path, broker_url="redis://127.0.0.1:1/0"))

        assert [line["event"] for line in lines] == ["broker.unreachable"]


def _answers(path: Path) -> bool:
    with Redis(unix_socket_path=str(path), password=PASSWORD) as client:
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False
