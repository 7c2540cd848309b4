"""Download official weights: from one place, by HTTPS, through redirects to known hosts only."""

import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from app.models.errors import DownloadFailed
from app.settings import is_loopback

PIECE_BYTES: Final = 1024 * 1024
MAX_BYTES: Final = 8 * 1024**3
SILENCE_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 3600.0
HTTPS_PORT: Final = 443


@dataclass(frozen=True)
class DownloadSource:
    """The folder on a web server that has the files, and the hosts to which it may redirect."""

    base_url: str
    hosts: tuple[str, ...]

    def check(self, url: str) -> None:
        """Check that this URL may be asked, at first or after a redirect.

        Raises:
            DownloadFailed: it may not.
        """
        try:
            found, base = urlsplit(url), urlsplit(self.base_url)
            is_base = (found.scheme, found.netloc) == (base.scheme, base.netloc)
            allowed = _is_safe(found) if is_base else self._is_listed(found)
        except ValueError:  # not a port, or not an address
            allowed = False
        if not allowed:
            message = f"{_shown(url)} is no place to download from; see TRAINYARD_MODELS_HOSTS."
            raise DownloadFailed(message)

    def _is_listed(self, found: SplitResult) -> bool:
        is_usual = found.scheme == "https" and found.port in {None, HTTPS_PORT}
        return is_usual and found.username is None and found.hostname in self.hosts


def download(source: DownloadSource, name: str, to: Path) -> None:
    """Download a file of the source.

    Raises:
        DownloadFailed: the server is unreachable, refuses, sends an incomplete response or one
            that takes too long, or redirects to a host that is not listed.
    """
    url = f"{source.base_url.rstrip('/')}/{name}"
    source.check(url)
    request = Request(url, headers={"User-Agent": "trainyard"})  # noqa: S310 -- checked above
    try:
        with _opener(source).open(request, timeout=SILENCE_SECONDS) as response:
            _save_whole(url, response, to)
    except (OSError, HTTPException) as error:
        raise DownloadFailed(f"{url} could not be downloaded: {error}.") from error


class _CheckedRedirects(HTTPRedirectHandler):
    """Follows redirects to where the source may lead."""

    max_redirections = 5

    def __init__(self, source: DownloadSource) -> None:
        self._source = source

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Check where a redirect leads."""
        self._source.check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(source: DownloadSource) -> OpenerDirector:
    """Return an opener without the handlers of files, FTP and data that urllib adds by itself."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPSHandler(),
        *([HTTPHandler()] if urlsplit(source.base_url).scheme == "http" else []),
        _CheckedRedirects(source),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _is_safe(found: SplitResult) -> bool:
    """Return whether a base URL is HTTPS, or HTTP on this machine."""
    if not found.hostname or found.username is not None:
        return False
    is_local = found.scheme == "http" and is_loopback(found.hostname)
    return found.scheme == "https" or is_local


def _save_whole(url: str, response: HTTPResponse, to: Path) -> None:
    announced = response.headers.get("Content-Length", "")
    if not (announced.isascii() and announced.isdigit()) or int(announced[:20]) > MAX_BYTES:
        raise DownloadFailed(f"{url} has no Content-Length, or one larger than any weights.")
    ends, received = time.monotonic() + LONGEST_SECONDS, 0
    with to.open("wb") as file:
        while piece := response.read1(PIECE_BYTES):
            received += len(piece)
            file.write(piece)
            if time.monotonic() > ends:
                raise DownloadFailed(f"{url} took longer than {LONGEST_SECONDS:.0f} seconds.")
    if received != int(announced):
        raise DownloadFailed(f"{url} ended after {received} of {announced} bytes; try again.")


def _shown(url: str) -> str:
    """Return a URL of a foreign server as it can be printed: without its query, and short."""
    return "".join(each for each in url.partition("?")[0][:200] if each.isprintable())
