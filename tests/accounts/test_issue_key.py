"""The first key is created once, however many servers start."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from sqlalchemy import func, select

from app.accounts.issue_key import KEY_FILE, ensure_first_key
from app.accounts.tables import ApiKey, User
from app.core.database import Database

SERVERS = 6


class TestFirstKey:
    def test_servers_that_start_at_once_make_one_and_all_start(
        self, database_url: str, open_database: Callable[[str], Database], tmp_path: Path
    ) -> None:
        databases = [open_database(database_url) for _ in range(SERVERS)]
        homes = [tmp_path / str(number) for number in range(SERVERS)]
        together = Barrier(SERVERS)

        def start(database: Database, home: Path) -> None:
            together.wait(timeout=30)
            ensure_first_key(database, home)

        with ThreadPoolExecutor(SERVERS) as pool:
            list(pool.map(start, databases, homes))

        with databases[0].read() as unit:
            rows = [
                unit.session.scalar(select(func.count()).select_from(table))
                for table in (User, ApiKey)
            ]
        assert rows == [1, 1]
        assert len([home for home in homes if (home / KEY_FILE).exists()]) == 1
