"""Scripts of release 0.1 keep working: its verbs and options, under their names."""

from collections.abc import Mapping
from typing import Final

import pytest
import typer

from tests.command.listing import commands
from tests.command.typed import Person
from trainyard.command.program import app, reads_this_machine

pytestmark = pytest.mark.integration

RELEASED: Final = """
up | --behind-proxy --home --host --insecure-http --no-browser --port --tls-cert --tls-key
server | --behind-proxy --home --host --insecure-http --port --tls-cert --tls-key
setup-link | --home
worker | --home --queues --slots
migrate | --home
collect | --dry-run --home
verify | --home
storage | --home
doctor | --home --json --probe
models add | --home --name --official --sha256 --task --wait
models list | --home
keys create | --expires --home --label --project --scope --user
keys list | --home --json
keys show | --home --json
keys revoke | --home
keys rotate | --home --overlap
users create | --administrator --home
users list | --home --json
users show | --home --json
users disable | --home
users enable | --home
users promote | --home
users demote | --home
users set-password | --home
projects create | --admin --home
projects list | --home --json
projects show | --home --json
projects archive | --home
projects restore | --home
projects add-member | --home --role
projects remove-member | --home
quotas set | --home --project --queued-jobs --running-jobs --stored-bytes --uploaded-bytes --user
quotas set | --verifier-seconds
quotas show | --home --project --user
workers list | --home --json
workers drain | --home
workers cordon | --home
workers uncordon | --home
audit verify | --home --noted
"""
"""Each verb of release 0.1, and its options."""

EACH: Final = [tuple(line.split(" | ")) for line in RELEASED.strip().splitlines()]


@pytest.fixture(scope="module")
def options() -> Mapping[str, set[str]]:
    """Return the options of each verb, of the server's where both have it."""
    found = {}
    for path, command in commands(typer.main.get_command(app)).items():
        found[" ".join(path)] = {
            option for it in command.params for option in [*it.opts, *it.secondary_opts]
        }
    return found


class TestReleasedVerbs:
    @pytest.mark.parametrize(("verb", "released"), EACH, ids=[" ".join(it) for it in EACH])
    def test_a_verb_has_the_options_that_it_had(
        self, options: Mapping[str, set[str]], verb: str, released: str
    ) -> None:
        if verb in {"models list", "workers list"}:  # of both; see below
            return

        assert set(released.split()) - options[verb] == set()

    @pytest.mark.parametrize("verb", ["models", "workers"])
    def test_a_list_of_this_machine_needs_no_server(self, nobody: Person, verb: str) -> None:
        home = nobody.folder / "its-home"
        assert nobody.types("migrate", "--home", home).returncode == 0

        by_option = nobody.types(verb, "list", "--home", home)
        nobody.environment["TRAINYARD_HOME"] = str(home)
        by_variable = nobody.types(verb, "list")

        assert (by_option.returncode, by_variable.returncode) == (0, 0), by_option.stderr
        assert by_option.stdout == by_variable.stdout

    def test_a_named_server_is_asked(self, person: Person) -> None:
        del person.environment["TRAINYARD_URL"]
        assert person.types("models", "list", "--url", "http://127.0.0.1:9").returncode == 9

    @pytest.mark.parametrize(
        ("words", "variables", "expected"),
        [
            (["list"], {}, True),
            (["list"], {"TRAINYARD_URL": "http://a"}, False),
            (["list"], {"TRAINYARD_HOME": "/a"}, True),
            (["list"], {"TRAINYARD_HOME": "/a", "TRAINYARD_URL": "http://a"}, False),
            (["list", "--home", "/a"], {"TRAINYARD_URL": "http://a"}, True),
            (["list", "--url=http://a"], {"TRAINYARD_HOME": "/a"}, False),
        ],
    )
    def test_a_verb_of_both_means_the_one_that_fits(
        self,
        monkeypatch: pytest.MonkeyPatch,
        nobody: Person,
        words: list[str],
        variables: dict[str, str],
        expected: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        monkeypatch.chdir(nobody.folder)
        monkeypatch.setenv("HOME", str(nobody.folder))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        for name in ("TRAINYARD_URL", "TRAINYARD_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        assert reads_this_machine(words) is expected
