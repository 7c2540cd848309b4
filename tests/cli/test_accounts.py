"""`trainyard users`, `projects` and `keys`: the operator's way to accounts."""

import json
import os
import pty
import shlex
import shutil
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.issue_key import ensure_first_key
from app.accounts.keys import ALL_SCOPES, SECRET_LENGTH, KeyText, parse_key
from app.accounts.passwords import verify_password
from app.accounts.repository import (
    KeyHolder,
    NewKey,
    first_administrator,
    holders_of,
    insert_key,
)
from app.accounts.tables import ApiKey, BrowserSession, KeyKind, User
from app.audit.tables import AuditRecord
from app.cli import cli
from app.core.database import Database
from tests.docs.blocks import blocks
from tests.waiting import eventually
from tests.worlds.server import COMMAND

pytestmark = pytest.mark.integration

NEW = "quite another 7"


@pytest.fixture
def database(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """The database of an instance whose server was started once, in the home of the commands."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copyfile(sqlite_template, home / "trainyard.db")
    (home / "trainyard.db").chmod(0o600)  # an open one is closed with a warning
    monkeypatch.setenv("TRAINYARD_HOME", str(home))
    database = Database(f"sqlite:///{home}/trainyard.db", pool_size=2)
    ensure_first_key(database, home)
    yield database
    database.dispose()


def invoke(*words: str, typed: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, words, input=typed)


def said(*words: str, typed: str | None = None) -> str:
    result = invoke(*words, typed=typed)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def holder(database: Database, text: str) -> KeyHolder | None:
    key = parse_key(text)
    assert key is not None
    with database.read() as unit:
        return holders_of(unit.session, [key]).get(key)


def password_hash(database: Database, name: str) -> str | None:
    with database.read() as unit:
        return unit.session.scalar(select(User.password_hash).where(User.name == name))


class TestKeys:
    def test_a_key_has_the_scopes_project_user_and_time_of_its_options(
        self, database: Database
    ) -> None:
        said("users", "create", "ada")
        said("projects", "create", "blood", "--admin", "ada")

        text = said(
            *("keys", "create", "--label", "ci", "--user", "ada", "--project", "blood"),
            *("--scope", "jobs:read", "--scope", "jobs:write", "--expires", "90d"),
        )

        found = holder(database, text)
        assert found is not None
        assert (found.user_name, found.is_administrator) == ("ada", False)
        assert found.scopes == {"jobs:read", "jobs:write"}
        assert [(project.name, project.role) for project in found.projects] == [("blood", "admin")]
        shown = json.loads(said("keys", "show", text[:27], "--json"))
        assert shown["expires_at"] is not None

    def test_a_key_with_a_label_alone_is_the_first_administrators_for_ever(
        self, database: Database
    ) -> None:
        text = said("keys", "create", "--label", "laptop")

        found = holder(database, text)
        assert found is not None
        assert (found.user_name, found.scopes) == ("owner", frozenset(ALL_SCOPES))
        assert found.expires_at is None

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (("--scope", "root"), "root"),
            (("--expires", "soon"), "90d"),
            (("--user", "nobody"), "no user"),
            (("--project", "nothing"), "no project"),
            (("--label", "a\x1b[2J"), "control characters"),
        ],
        ids=str,
    )
    def test_a_wrong_option_makes_no_key(self, options: tuple[str, ...], named: str) -> None:
        result = invoke("keys", "create", "--label", "x", *options)

        assert result.exit_code in {1, 2}
        assert named in result.stderr
        assert "\x1b[2J" not in result.output

    @pytest.mark.usefixtures("database")
    def test_a_key_is_bound_only_to_a_project_of_its_user(self) -> None:
        said("users", "create", "ada")

        result = invoke("keys", "create", "--label", "x", "--user", "ada", "--project", "default")

        assert (result.exit_code, "no member" in result.stderr) == (1, True)

    def test_a_revoked_key_is_refused(self, database: Database) -> None:
        text = said("keys", "create", "--label", "laptop")

        said("keys", "revoke", text[:27])

        assert holder(database, text) is None

    def test_a_rotated_key_ends_after_the_overlap(self, database: Database) -> None:
        text = said("keys", "create", "--label", "laptop")
        kept = said("keys", "create", "--label", "ci")

        replaced = said("keys", "rotate", text[:27], "--overlap", "0s")
        said("keys", "rotate", kept[:27])

        assert holder(database, text) is None
        assert [holder(database, each) is None for each in (replaced, kept)] == [False, False]

    def test_the_list_shows_no_secret_and_nothing_that_a_terminal_obeys(
        self, database: Database
    ) -> None:
        text = said("keys", "create", "--label", "laptop")
        with database.write() as unit:
            unit.session.execute(update(ApiKey).values(label="of an\x1b[2J\nearlier release"))

        table, document = said("keys", "list"), said("keys", "list", "--json")

        assert text not in table + document
        assert "\x1b" not in table + document
        assert [line.split()[0] for line in table.splitlines()][:2] == ["prefix", text[:27]]

    def test_each_change_by_a_command_is_recorded(self, database: Database) -> None:
        text = said("keys", "create", "--label", "laptop")

        said("keys", "revoke", text[:27])

        with database.read() as unit:
            statement = select(AuditRecord).order_by(AuditRecord.id)
            records = unit.session.scalars(statement).all()
        assert [(each.action, each.credential) for each in records] == [
            ("key.created", "command"),
            ("key.revoked", "command"),
        ]


class TestUsers:
    def test_a_disabled_user_is_refused_until_enabled_again(self, database: Database) -> None:
        said("users", "create", "ada")
        text = said("keys", "create", "--label", "x", "--user", "ada")

        said("users", "disable", "ada")
        while_disabled = holder(database, text)
        said("users", "enable", "ada")

        assert while_disabled is None
        assert holder(database, text) is not None

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("command", ["disable", "demote"])
    def test_the_last_administrator_stays(self, command: str) -> None:
        result = invoke("users", command, "owner")

        assert (result.exit_code, "only administrator" in result.stderr) == (1, True)

    @pytest.mark.usefixtures("database")
    def test_another_administrator_makes_the_first_one_dispensable(self) -> None:
        said("users", "create", "ada", "--administrator")

        said("users", "demote", "owner")

        users = {user["name"]: user for user in json.loads(said("users", "list", "--json"))}
        assert [users[name]["administrator"] for name in ("ada", "owner")] == [True, False]

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize("name", ["", "a b", "=cmd()", "a\x1b[2J", "ådå", "Owner", "a" * 101])
    def test_a_user_has_a_plain_name(self, name: str) -> None:
        result = invoke("users", "create", name)

        assert (result.exit_code, "letters from a to z" in result.stderr) == (1, True)

    @pytest.mark.usefixtures("database")
    def test_a_name_is_taken_once(self) -> None:
        result = invoke("users", "create", "owner")

        assert (result.exit_code, "has this name" in result.stderr) == (1, True)


class TestPasswords:
    def test_a_user_gets_the_first_line_of_a_pipe_as_password(self, database: Database) -> None:
        said("users", "create", "ada")

        said("users", "set-password", "ada", typed=f"{NEW}\nnot read\n")

        assert verify_password(NEW, password_hash(database, "ada"))

    def test_a_new_password_ends_the_sessions_of_the_user_and_is_recorded(
        self, database: Database
    ) -> None:
        user_id = said("users", "create", "ada")
        with database.write() as unit:
            insert_session(
                unit.session, user_id, new_token(), Client(None), lifetime=timedelta(days=1)
            )

        said("users", "set-password", "ada", typed=NEW)

        with database.read() as unit:
            sessions = unit.session.scalars(select(BrowserSession)).all()
            newest = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(1)
            record = unit.session.scalars(newest).one()
        assert sessions == []
        assert (record.action, record.credential, record.target) == (
            "password.changed",
            "command",
            user_id,
        )
        assert record.details == {"name": "ada", "sessions_ended": 1}

    @pytest.mark.usefixtures("database")
    @pytest.mark.parametrize(
        ("name", "typed", "named"),
        [
            ("owner", "short\n", "8 to 200 characters"),
            ("owner", "", "8 to 200 characters"),
            ("owner", "password1\n", "choose another one"),
            ("owner", b"caf\xe9 au lait\n", "not UTF-8"),
            ("nobody", NEW, "no user"),
        ],
        ids=["short", "empty", "common", "latin-1", "unknown-user"],
    )
    def test_a_password_that_cannot_be_set_is_refused_in_one_line(
        self, name: str, typed: str | bytes, named: str
    ) -> None:
        result = invoke("users", "set-password", name, typed=typed)

        assert (result.exit_code, named in result.stderr) == (1, True)
        assert result.stderr.count("\n") == 1

    def test_a_terminal_does_not_show_what_is_typed(self, database: Database) -> None:
        master, terminal = pty.openpty()
        with subprocess.Popen(
            [COMMAND, "users", "set-password", "owner"],
            stdin=terminal,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that it asks this terminal, and not that of the tests
        ) as asking:
            os.close(terminal)
            assert asking.stderr is not None
            try:
                for _ in range(2):
                    while (piece := asking.stderr.read(1)) != b":":
                        assert piece
                    eventually(lambda: not is_echoing(master), within=20)
                    os.write(master, f"{NEW}\n".encode())
                asking.communicate(timeout=60)
            finally:
                asking.kill()
        shown = everything_shown(master)

        assert asking.returncode == 0
        assert NEW.encode() not in shown
        assert verify_password(NEW, password_hash(database, "owner"))


def is_echoing(terminal: int) -> bool:
    """Return whether a terminal shows what is typed."""
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def everything_shown(master: int) -> bytes:
    """Return what a terminal showed; nothing writes to it any more."""
    shown = b""
    with suppress(OSError):  # so Linux reports the end
        while piece := os.read(master, 4096):
            shown += piece
    os.close(master)
    return shown


@pytest.mark.usefixtures("database")
class TestProjects:
    def test_a_project_shows_its_members(self) -> None:
        said("users", "create", "ada")
        said("projects", "create", "blood")
        said("projects", "add-member", "blood", "ada", "--role", "viewer")

        shown = json.loads(said("projects", "show", "blood", "--json"))

        assert shown["members"] == ["ada (viewer)", "owner (admin)"]

    def test_a_removed_member_is_gone(self) -> None:
        said("users", "create", "ada")
        said("projects", "add-member", "default", "ada")
        said("projects", "remove-member", "default", "ada")

        shown = said("projects", "show", "default")

        assert "ada" not in shown

    def test_a_project_is_archived_and_restored(self) -> None:
        said("projects", "archive", "default")
        archived = json.loads(said("projects", "show", "default", "--json"))["archived_at"]
        said("projects", "restore", "default")

        restored = json.loads(said("projects", "list", "--json"))[0]["archived_at"]

        assert archived is not None
        assert restored is None

    def test_an_unknown_role_is_refused(self) -> None:
        result = invoke("projects", "add-member", "default", "owner", "--role", "root")

        assert (result.exit_code, "viewer, member, admin" in result.stderr) == (1, True)


class TestDocument:
    def test_the_commands_of_the_document_do_what_it_says(self, database: Database) -> None:
        (block,) = [it for it in blocks() if it.document == "docs/accounts.md"]
        commands = block.text.replace("\\\n", " ").splitlines()
        key = KeyText(KeyKind.USER, "0123456789ab", "s" * SECRET_LENGTH)
        with database.write() as unit:
            owner = first_administrator(unit.session)
            assert owner is not None
            insert_key(unit.session, owner.id, key, NewKey("documented", ALL_SCOPES))

        output = [said(*shlex.split(command)[1:], typed=NEW) for command in commands]

        nightly = holder(database, output[4])
        assert nightly is None, "ada is disabled by the last command"
        assert "nightly" in output[5]
        assert holder(database, output[6]) is not None
        assert holder(database, str(key)) is None
