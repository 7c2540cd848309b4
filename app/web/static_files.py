"""Files of the pages: stylesheet, scripts and icons, at addresses that name their digest.

The address of a file changes with its content, so browsers keep it for a year and never ask again.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath

from app.core.encodings import takes_gzip
from app.core.errors import NotFound
from app.core.path_prefix import link
from app.core.response_headers import IMMUTABLE
from app.core.strict_json import OpenRoute

FOLDER: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DIGEST_LETTERS: Final = 16
POLICY: Final = "default-src 'none'; connect-src 'self'"
"""A worker is not under the policy of the page that starts it, but under that of its script."""

router = APIRouter(route_class=OpenRoute, include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    """A file of the pages.

    Attributes:
        digest: the beginning of its SHA-256, which its address has.
        media_type: of the file.
        body: the bytes.
        packed: the bytes, compressed by gzip.
    """

    digest: str
    media_type: str
    body: bytes
    packed: bytes


@cache
def static_files() -> dict[str, StaticFile]:
    """Return all files by name, such as `app.css` and `vendor/htmx.min.js`."""
    return {
        path.relative_to(FOLDER).as_posix(): _read(path)
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:DIGEST_LETTERS]
    packed = gzip.compress(body, 9, mtime=0)
    return StaticFile(digest, MEDIA_TYPES[path.suffix], body, packed)


def static_link(name: str) -> str:
    """Return the address of a file.

    Raises:
        KeyError: there is no such file.
    """
    return link(f"/static/{static_files()[name].digest}/{name}")


@router.get("/static/{digest}/{name:path}")
def read_static_file(
    request: Request,
    digest: Annotated[str, InPath(max_length=DIGEST_LETTERS)],
    name: Annotated[str, InPath(max_length=100)],
) -> Response:
    """Return a file of the pages."""
    found = static_files().get(name)
    if found is None or found.digest != digest:
        raise NotFound("There is no such file.")
    headers = {
        "Cache-Control": IMMUTABLE,
        "Content-Security-Policy": POLICY,
        "Vary": "Accept-Encoding",
    }
    if takes_gzip(request):
        packed = headers | {"Content-Encoding": "gzip"}
        return Response(found.packed, media_type=found.media_type, headers=packed)
    return Response(found.body, media_type=found.media_type, headers=headers)
