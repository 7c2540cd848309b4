"""The server's own TLS, with the same limits (A8)."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.configuration import BadConfiguration, load_settings, refuse_open_bind
from app.http_server.record import CutReason
from app.http_server.tls import tls_context
from app.listening import listen, url_of
from app.settings import Settings
from tests.http_server.raw_connection import RawConnection
from tests.http_server.served import SHORT, Served, request, served
from tests.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate"),
]


def openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    assert program is not None
    subprocess.run([program, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    return {"tls_certificate_file": certificate, "tls_key_file": key}


@pytest.fixture(scope="module")
def encrypted(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("encrypted") / "home"
    tls = tls_context(Settings.model_validate({"home": home, **files}))
    with served(home, tls=tls, settings=dict(files), limits=SHORT) as running:
        yield running


@pytest.fixture
def client(encrypted: Served, files: dict[str, Path]) -> Iterator[RawConnection]:
    context = ssl.create_default_context(cafile=files["tls_certificate_file"])
    plain = socket.create_connection((encrypted.host, encrypted.port))
    with RawConnection(context.wrap_socket(plain, server_hostname="127.0.0.1")) as connection:
        yield connection


class TestTls:
    def test_a_request_is_answered_and_its_scheme_is_https(self, client: RawConnection) -> None:
        client.send(request("POST", "/", body=b"{}") + request("GET", "/large?3"))
        first, second = client.answer(), client.answer()

        assert (first.json["scheme"], first.json["client"][0]) == ("https", "127.0.0.1")
        assert len(second.body) == 3 * 65536

    def test_a_slow_head_gets_408(self, client: RawConnection) -> None:
        answers = client.send(b"GET / HTT").answers()

        assert [answer.slug for answer in answers] == ["request-too-slow"]

    def test_an_early_answer_arrives(self, client: RawConnection) -> None:
        client.send(request("POST", "/early", "Content-Length: 1000000") + b"a" * 1000)

        assert client.answer().status == 401

    @pytest.mark.parametrize("start", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
    def test_a_handshake_that_does_not_end_is_cut_off(
        self, encrypted: Served, start: bytes
    ) -> None:
        before = encrypted.counts.get(CutReason.HANDSHAKE, 0)

        with encrypted.connect() as connection:
            connection.send(start)
            eventually(lambda: encrypted.counts.get(CutReason.HANDSHAKE, 0) > before, within=10)

        encrypted.wait_until_free()

    def test_tls_before_1_2_is_refused(self, files: dict[str, Path], tmp_path: Path) -> None:
        context = tls_context(Settings.model_validate({"home": tmp_path, **files}))

        assert context is not None
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


class TestFiles:
    def test_a_server_with_tls_files_may_listen_on_any_address(
        self, files: dict[str, Path], tmp_path: Path
    ) -> None:
        given = {"home": tmp_path, "host": "0.0.0.0", **files}  # noqa: S104 -- not bound

        refuse_open_bind(Settings.model_validate(given))

    def test_the_url_of_a_server_with_tls_is_https(self) -> None:
        with listen("127.0.0.1", 0) as listener:
            assert url_of(listener, tls=True).startswith("https://127.0.0.1:")

    def test_one_file_without_the_other_is_refused(self, files: dict[str, Path]) -> None:
        with pytest.raises(BadConfiguration, match="tls_key_file"):
            load_settings(tls_certificate_file=files["tls_certificate_file"])

    @pytest.mark.parametrize("wrong", ["missing", "empty", "swapped", "with-passphrase"])
    def test_wrong_files_are_named(
        self, files: dict[str, Path], tmp_path: Path, wrong: str
    ) -> None:
        certificate, key = files["tls_certificate_file"], tmp_path / "key.pem"
        if wrong == "empty":
            key.touch()
        elif wrong == "swapped":
            key.write_bytes(certificate.read_bytes())
        elif wrong == "with-passphrase":
            passphrase = ("-aes256", "-passout", "pass:secret")
            openssl("ec", "-in", str(files["tls_key_file"]), *passphrase, "-out", str(key))
        settings = Settings(home=tmp_path, tls_certificate_file=certificate, tls_key_file=key)

        with pytest.raises(BadConfiguration, match="tls_key_file"):
            tls_context(settings)
