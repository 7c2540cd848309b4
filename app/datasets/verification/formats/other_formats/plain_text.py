"""Read what annotation files of text hold: lines, finite numbers, names of classes."""

import codecs
import math
from typing import Final

from app.core.plain_text import is_plain
from app.datasets.archives.legacy_text import decode_text
from app.datasets.reports.finding_codes import Code
from app.datasets.verification.dataset_yaml import MAX_NAME_CHARACTERS
from app.datasets.verification.source import Upload

MAX_NUMBER_CHARACTERS: Final = 100
MAX_NUMBER: Final = 1e9
PREFIX_BYTES: Final = 8192
UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decoded(content: bytes) -> str | None:
    """Return the text, or None if its encoding cannot be told."""
    found = decode_text(content)
    return None if found is None else found[0]


def beginning(upload: Upload, file: str, size: int = PREFIX_BYTES) -> str:
    """Return the text of the first bytes of a file, up to the last complete line among them."""
    content = upload.members.prefix(file, size)
    if len(content) == size and not content.startswith(UTF16_MARKS):
        content = content[: content.rfind(b"\n") + 1] or content
    return decoded(content) or content.decode("latin-1")


def first_lines(upload: Upload, file: str, size: int = PREFIX_BYTES) -> list[str]:
    """Return the lines with text at the beginning of a file."""
    return [line for line in beginning(upload, file, size).splitlines() if line.strip()]


def text_of(upload: Upload, file: str, content: bytes | None) -> str | None:
    """Return the text of a file, or None with a finding if its encoding cannot be told."""
    if content is None:
        return None
    found = decode_text(content)
    if found is None:
        text = "Its encoding cannot be told; save it as UTF-8."
        upload.findings.add(Code.ANNOTATIONS_INVALID, text, file=file)
        return None
    text, encoding = found
    if not encoding.lower().startswith(("utf", "ascii")):
        said = f"It is not UTF-8; it was read as {encoding}."
        upload.findings.add(Code.YAML_ENCODING, said, file=file)
    return text


def number(text: str | None) -> float | None:
    """Return a finite number of a usual size, or None."""
    if text is None or len(text) > MAX_NUMBER_CHARACTERS or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= MAX_NUMBER else None


def class_name(text: str | None) -> str | None:
    """Return the name of a class without the blanks around it, or None if it cannot be one."""
    name = (text or "").strip()
    return name if 0 < len(name) <= MAX_NAME_CHARACTERS and is_plain(name) else None
