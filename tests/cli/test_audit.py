"""`trainyard audit verify` checks the audit log and prints its end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from app.audit.chain import seal_records
from app.audit.record import COMMAND, record_change
from app.audit.tables import AuditRecord
from app.cli import cli
from app.core.database import Database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def recorded(home: Path, migrated_at: Callable[[Path], str]) -> Database:
    """Return the database of the home with two records in the chain."""
    database = Database(migrated_at(home / "trainyard.db"))
    with database.write() as unit:
        for name in ("ada", "eve"):
            record_change(unit.session, COMMAND, "user.created", target=name)
    seal_records(database)
    return database


def verify(home: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["audit", "verify", "--home", str(home), *options])
    return result.exit_code, result.output


@pytest.mark.usefixtures("recorded")
def test_a_whole_log_is_counted_and_its_end_is_printed(home: Path) -> None:
    status, output = verify(home)

    assert status == 0
    assert output.startswith("2 records are whole, up to 2:")


@pytest.mark.usefixtures("recorded")
def test_the_printed_end_can_be_checked_later(home: Path) -> None:
    _, output = verify(home)
    end = output.split()[-1]

    assert verify(home, "--noted", end)[0] == 0
    fault = f"The noted record at position 9 is missing. Up to {end} the audit log is whole."
    assert verify(home, "--noted", f"9:{'0' * 64}") == (1, f"trainyard: {fault}\n")


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("noted", ["", "7", "x:00", "1:zz"])
def test_another_form_of_an_end_is_refused(home: Path, noted: str) -> None:
    status, output = verify(home, "--noted", noted)

    assert status == 1
    assert "POSITION:HASH" in output


def test_a_changed_record_ends_with_1(home: Path, recorded: Database) -> None:
    with recorded.write() as unit:
        unit.session.execute(update(AuditRecord).values(target="nobody"))

    status, output = verify(home)

    assert status == 1
    assert "at position 1 was changed" in output
