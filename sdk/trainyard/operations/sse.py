"""Server-sent events from bytes."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

LONGEST_MESSAGE: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Message:
    """One message: its name, its data, and the position behind it."""

    name: str
    text: str
    id: str

    def json(self) -> Any:  # noqa: ANN401
        """Return the data."""
        return json.loads(self.text)


class MessageReader:
    """Finds the messages in the bytes of one connection."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._fields: dict[str, str] = {}
        self._id = ""

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with this piece.

        Raises:
            ValueError: a message has no end.
        """
        self._rest += self._decoder.decode(piece)
        *lines, self._rest = self._rest.replace("\r\n", "\n").split("\n")
        if len(self._rest) > LONGEST_MESSAGE:
            raise ValueError("The stream has a message without an end.")
        for line in lines:
            if line:
                self._take(line)
            else:
                yield from self._finished()

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in self._fields:
            value = f"{self._fields['data']}\n{value}"
        if name == "id":
            self._id = value
        elif name:
            self._fields[name] = value

    def _finished(self) -> Iterator[Message]:
        fields, self._fields = self._fields, {}
        if "data" in fields:
            yield Message(fields.get("event", "message"), fields["data"], self._id)
