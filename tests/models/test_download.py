"""Official weights come from one place, by HTTPS, and through redirects to known hosts only."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.models.download import DownloadSource, download
from app.models.errors import DownloadFailed
from app.settings import Settings

pytestmark = pytest.mark.integration

BASE = "https://github.com/ultralytics/assets"
HOSTS = ("github.com", "objects.githubusercontent.com")


@pytest.fixture
def redirecting() -> Iterator[Callable[[str], str]]:
    """Return a function that starts a server whose every answer leads to a place."""
    servers: list[ThreadingHTTPServer] = []

    def start(to: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/there":
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"PK")
                    return
                self.send_response(302)
                self.send_header("Location", to)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/assets"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class TestSource:
    @pytest.mark.parametrize(
        "url",
        [
            f"{BASE}/yolo26n.pt",
            "https://objects.githubusercontent.com/x?token=1",
            "https://GitHub.com/x",
            "https://github.com:443/x",
        ],
    )
    def test_a_listed_host_may_be_asked(self, url: str) -> None:
        DownloadSource(BASE, HOSTS).check(url)

    @pytest.mark.parametrize(
        "url",
        [
            "http://github.com/x", "ftp://github.com/x", "file:///etc/passwd", "data:,x",
            "https://github.com.evil.example/x", "https://evil.example/github.com",
            "https://github.com@evil.example/x", "https://user:word@github.com/x",
            "https://github.com:8443/x", "https://github.com:x/x", "https://[::1/x",
            "https://169.254.169.254/x", "http://127.0.0.1/x", "//github.com/x", "", "\0",
        ],
    )  # fmt: skip
    def test_no_other_place_may_be_asked(self, url: str) -> None:
        with pytest.raises(DownloadFailed):
            DownloadSource(BASE, HOSTS).check(url)

    @pytest.mark.parametrize(
        ("base", "allowed"),
        [
            ("https://mirror.example:8443/weights", True),
            ("http://127.0.0.1:9/weights", True),
            ("http://localhost/weights", True),
            ("http://mirror.example/weights", False),
            ("ftp://mirror.example/weights", False),
            ("https://user@mirror.example/weights", False),
            ("https:///weights", False),
        ],
    )
    def test_plain_http_is_for_this_machine(self, base: str, *, allowed: bool) -> None:
        source = DownloadSource(base, HOSTS)
        if allowed:
            source.check(f"{base}/yolo26n.pt")
            return
        with pytest.raises(DownloadFailed):
            source.check(f"{base}/yolo26n.pt")

    def test_the_hosts_of_releases_are_listed_by_default(self) -> None:
        source = DownloadSource(Settings().models_base_url, Settings().models_hosts)

        source.check("https://release-assets.githubusercontent.com/x")


class TestRedirects:
    def test_a_redirect_within_the_server_is_followed(
        self, redirecting: Callable[[str], str], tmp_path: Path
    ) -> None:
        download(DownloadSource(redirecting("/there"), ()), "a.pt", tmp_path / "a.pt")

        assert (tmp_path / "a.pt").read_bytes() == b"PK"

    @pytest.mark.parametrize(
        "to", ["http://localhost:1/x", "https://evil.example/x", "ftp://127.0.0.1/x", "file:///x"]
    )
    def test_a_redirect_to_another_place_is_not_followed(
        self, redirecting: Callable[[str], str], tmp_path: Path, to: str
    ) -> None:
        with pytest.raises(DownloadFailed):
            download(DownloadSource(redirecting(to), HOSTS), "a.pt", tmp_path / "a.pt")

    def test_endless_redirects_end(self, redirecting: Callable[[str], str], tmp_path: Path) -> None:
        with pytest.raises(DownloadFailed):
            download(DownloadSource(redirecting("/round"), ()), "a.pt", tmp_path / "a.pt")
