"""Every `TRAINYARD_*` variable is a setting, is read by a program of ours, or is Kubernetes'."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.configuration import BadConfiguration, load_settings
from app.settings import Settings
from app.settings.environment import OTHER_VARIABLES, closest, unknown_variables, variables_of
from tests.architecture.sources import ROOT

KNOWN = variables_of(Settings)
OF_KUBERNETES = {
    "TRAINYARD_PORT": "tcp://10.96.12.7:8080",
    "TRAINYARD_SERVICE_HOST": "10.96.12.7",
    "TRAINYARD_SERVICE_PORT": "8080",
    "TRAINYARD_SERVICE_PORT_HTTP": "8080",
    "TRAINYARD_PORT_8080_TCP": "tcp://10.96.12.7:8080",
    "TRAINYARD_PORT_8080_TCP_PROTO": "tcp",
    "TRAINYARD_PORT_8080_TCP_PORT": "8080",
    "TRAINYARD_PORT_8080_TCP_ADDR": "10.96.12.7",
    "TRAINYARD_WORKER_SERVICE_HOST": "fd00::7",
    "TRAINYARD_WORKER_PORT": "tcp://[fd00::7]:9100",
    "TRAINYARD_REDIS_SERVICE_HOST": "10.96.3.4",
    "TRAINYARD_REDIS_SERVICE_PORT": "6379",
    "TRAINYARD_REDIS_SERVICE_PORT_REDIS": "6379",
    "TRAINYARD_REDIS_PORT": "tcp://10.96.3.4:6379",
    "TRAINYARD_REDIS_PORT_6379_TCP": "tcp://10.96.3.4:6379",
    "TRAINYARD_REDIS_PORT_6379_TCP_ADDR": "10.96.3.4",
    "TRAINYARD_DNS_PORT_53_UDP_PROTO": "udp",
}
"""What the kubelet sets for services named trainyard, trainyard-worker, -redis and -dns."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRAINYARD_HOME", str(tmp_path / "home"))


class TestUnknownVariables:
    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("TRAINYARD_DATABASE_URI", "TRAINYARD_DATABASE_URL"),
            ("TRAINYARD_BROKER", "TRAINYARD_BROKER_URL"),
            ("TRAINYARD_STORE", "TRAINYARD_STORE_URL"),
            ("trainyard_databse_url", "TRAINYARD_DATABASE_URL"),
            ("TRAINYARD_TIMING__LEASE_SECOND", "TRAINYARD_TIMING__LEASE_SECONDS"),
            ("TRAINYARD_TIMING_LEASE_SECONDS", "TRAINYARD_TIMING__LEASE_SECONDS"),
            ("TRAINYARD_PORTS", "TRAINYARD_PORT"),
            ("TRAINYARD_SECRET_KEY_FILES", "TRAINYARD_SECRET_KEY_FILE"),
        ],
    )
    def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
    ) -> None:
        monkeypatch.setenv(variable, "hunter2")

        with pytest.raises(BadConfiguration) as refusal:
            load_settings()

        assert f"{variable}: there is no such setting; did you mean {meant}?" in str(refusal.value)
        assert "hunter2" not in str(refusal.value)

    def test_a_variable_that_resembles_nothing_is_refused_without_a_guess(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRAINYARD_XYZZY", "1")

        with pytest.raises(BadConfiguration, match=r"TRAINYARD_XYZZY: there is no such setting$"):
            load_settings()

    def test_each_setting_can_be_set_by_its_variable(self) -> None:
        assert unknown_variables(dict.fromkeys(KNOWN, "1"), KNOWN) == []

    def test_variables_of_other_programs_are_left_alone(self) -> None:
        assert unknown_variables({"TRAINYARDS": "1", "MY_TRAINYARD_URI": "1"}, KNOWN) == []

    def test_nothing_is_guessed_from_far_away(self) -> None:
        assert closest("TRAINYARD_XYZZY", KNOWN) is None


class TestKubernetes:
    def test_what_kubernetes_sets_for_services_is_no_setting(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in OF_KUBERNETES.items():
            monkeypatch.setenv(name, value)

        settings = load_settings()

        assert settings.port == Settings.model_fields["port"].default

    def test_a_port_is_still_read_as_our_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRAINYARD_PORT", "8471")

        assert load_settings().port == 8471

    @pytest.mark.parametrize("value", ["tcp:8080", "http://10.0.0.1:8080", "tcp://10.0.0.1"])
    def test_a_port_that_is_neither_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("TRAINYARD_PORT", value)

        with pytest.raises(BadConfiguration, match="TRAINYARD_PORT"):
            load_settings()

    @pytest.mark.parametrize("name", ["TRAINYARD_REDIS_SERVICE_HOSTS", "TRAINYARD_REDIS_PORT"])
    def test_a_name_that_only_resembles_one_of_kubernetes_is_refused(self, name: str) -> None:
        assert unknown_variables({name: "6379"}, KNOWN) == [name]


class TestOtherVariables:
    def test_each_variable_that_our_programs_read_is_known(self) -> None:
        named = set(_variables_in_programs())

        assert named - KNOWN - OTHER_VARIABLES - OF_KUBERNETES.keys() == set()


def _variables_in_programs() -> Iterator[str]:
    docker = [path for path in (ROOT / "docker").rglob("*") if path.is_file()]
    files = [ROOT / "docker-compose.yml", ROOT / "Makefile", *docker]
    for path in [*files, *(ROOT / "app").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]:
        yield from re.findall(r"\bTRAINYARD_[A-Z0-9_]*[A-Z0-9]\b(?!_)", path.read_text())
