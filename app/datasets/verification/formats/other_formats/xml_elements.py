"""Read XML of strangers one child of the root at a time; nothing outside the file is read.

A document type definition is refused: entities can grow without bound or name other files.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import IO, TYPE_CHECKING, Final, Protocol, cast

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from app.datasets.verification.formats.other_formats.plain_text import decoded

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

UNKNOWN_ENCODING: Final = "Its encoding cannot be read; save it as UTF-8."
MAX_DEPTH: Final = 50
MAX_ELEMENTS_OF_A_CHILD: Final = 1_000_000
DECLARATION: Final = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.-]+)[\"'][^>]*\?>")
WIDE_DECLARATION: Final = re.compile(r"^<\?xml[^>]*?\?>")
"""The declaration of a text in UTF-16: its encoding is no longer that of the text."""
COMMENT: Final = re.compile(r"<!--.*?(-->|$)", re.DOTALL)
ROOT: Final = re.compile(r"<([A-Za-z_][\w.:-]*)")
TOLD_BY_CONTENT: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "utf-16"})


class Readable(Protocol):
    """What is read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        ...


class XmlInvalidError(Exception):
    """The XML is damaged; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class XmlRefusedError(Exception):
    """The XML could harm who reads it."""


def root_name(beginning: str) -> str | None:
    """Return the name of the root element from the first characters of a file."""
    found = ROOT.search(COMMENT.sub("", beginning))
    return found[1] if found else None


def children(content: bytes) -> Iterator["Element"]:
    """Yield the root when it starts, then each of its children when it is complete.

    A child is forgotten after it was yielded, so the memory is that of the largest child.

    Raises:
        XmlInvalidError: the text is no well-formed XML.
        XmlRefusedError: it has a document type definition, or is nested too deeply.
    """
    try:
        in_utf8 = _in_utf8(content)
    except (ValueError, LookupError) as error:
        raise XmlInvalidError(UNKNOWN_ENCODING) from error
    yield from children_in(BytesIO(in_utf8))


def children_in(stream: Readable) -> Iterator["Element"]:
    """Yield what `children` yields, of a file that is read piece by piece."""
    try:
        yield from _children(stream)
    except DefusedXmlException as error:
        raise XmlRefusedError(
            "It has a document type definition (DOCTYPE, ENTITY), which could read other files or"
            " grow without bound; remove it."
        ) from error
    except ParseError as error:
        line = error.position[0] if hasattr(error, "position") else None
        raise XmlInvalidError("It is not well-formed XML; export it again.", line) from error
    except (ValueError, LookupError) as error:
        raise XmlInvalidError(UNKNOWN_ENCODING) from error


def _children(stream: Readable) -> Iterator["Element"]:
    opened: list[Element] = []
    elements = 0
    source = cast("IO[bytes]", stream)  # of which the parser only reads
    for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            opened.append(element)
            elements += 1
            if len(opened) > MAX_DEPTH or elements > MAX_ELEMENTS_OF_A_CHILD:
                raise XmlRefusedError("It is nested too deeply, or one element holds too much.")
            if len(opened) == 1:
                yield element
            continue
        opened.pop()
        if len(opened) == 1:
            yield element
            opened[0].remove(element)
            elements = 0


def _in_utf8(content: bytes) -> bytes:
    """Return the XML in an encoding that the parser reads: it knows no GBK or Shift-JIS."""
    content = content.lstrip()
    declared = DECLARATION.match(content[:200])
    body = content if declared is None else content[declared.end() :]
    name = "" if declared is None else declared[1].decode("ascii").lower()
    if name and name not in TOLD_BY_CONTENT:
        return body.decode(name).encode()
    text = decoded(body)
    if text is None:
        raise ValueError("unknown encoding")
    return WIDE_DECLARATION.sub("", text.lstrip("\ufeff \t\r\n"), count=1).encode()


def texts_in(element: "Element | None") -> dict[str, str]:
    """Return the texts of the children by their tags, without blanks around them."""
    if element is None:
        return {}
    return {str(child.tag): (child.text or "").strip() for child in element}
